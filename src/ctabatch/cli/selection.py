"""Options that choose observations of a project, shared by search and basket."""

import functools

import click

_OPTIONS = (
    click.option("--project", help="Observations (DL3) of this project that you may see."),
    click.option(
        "--object", "objects", multiple=True, help="Name of the target; * stands for anything."
    ),
    click.option("--cone", help="RA,DEC,RADIUS around the pointing; ICRS, deg or with units."),
    click.option("--after", help="They begin at this time or later (UTC)."),
    click.option("--before", help="They end at this time or earlier (UTC)."),
    click.option("--max-zenith", help="Largest mean zenith angle, such as '40 deg'."),
    click.option("--min-livetime", help="Smallest live time, such as '20 min'."),
    click.option("--valid-irf", is_flag=True, help="Only with a valid IRF."),
    click.option("--superseded", is_flag=True, help="Also superseded and invalid files."),
)


def selection_options(command):
    """Add the options; the command is given ``project`` and ``selection``."""

    @functools.wraps(command)
    def wrapped(*, project, **given):
        return command(project=project, selection=_selection(project, given), **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _selection(project, given):
    """Take our options out of `given`, and return the selection; None without a project."""
    from ctabatch.errors import InputError

    names = ("objects", "cone", "after", "before", "max_zenith", "min_livetime", "valid_irf")
    values = {name: given.pop(name) for name in (*names, "superseded")}
    if project is None:
        for name, value in values.items():
            if value:
                option = {"objects": "object"}.get(name, name).replace("_", "-")
                raise InputError(f"--{option} chooses among a project", allowed="with --project")
        return None
    from ctabatch.iam.projects import Cone, Selection, check_project

    check_project(project)
    return Selection(
        objects=tuple(values["objects"]),
        cone=Cone.parse(values["cone"]) if values["cone"] else None,
        after=_time("--after", values["after"]),
        before=_time("--before", values["before"]),
        max_zenith=_number("--max-zenith", values["max_zenith"], "deg"),
        min_livetime=_number("--min-livetime", values["min_livetime"], "s"),
        valid_irf=values["valid_irf"],
        superseded=values["superseded"],
    )


def _time(option, text):
    from datetime import UTC, datetime

    from ctabatch.errors import InputError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no time", where=option, allowed="such as 2026-03-01 or 2026-03-01T22:00"
        ) from None
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _number(option, text, unit):
    """Read a number in `unit`, or a quantity of a unit that can be converted to it."""
    if text is None:
        return None
    import astropy.units as u

    from ctabatch.errors import InputError

    try:
        quantity = u.Quantity(text)
        if quantity.unit == u.dimensionless_unscaled:
            quantity = quantity * u.Unit(unit)
        value = quantity.to_value(unit)
    except (TypeError, ValueError, u.UnitConversionError):
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise InputError(
            f"{text!r} is no such value", where=option, allowed=f"a number with a unit, in {unit}"
        )
    return float(value)
