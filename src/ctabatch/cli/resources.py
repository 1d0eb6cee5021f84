"""``cta-batch resources``: where jobs could run."""

import click

from ctabatch.cli.options import DEFAULT_CONFIG, json_option, read_config
from ctabatch.cli.output import print_json, print_table


def _quantity(kind: str, text: str | None, option: str, unit: str) -> float:
    """Read a quantity of the command line; 0 if it is not given."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    from ctabatch.config import base
    from ctabatch.errors import InputError

    if text is None:
        return 0
    adapter = TypeAdapter(getattr(base, kind), config=ConfigDict(arbitrary_types_allowed=True))
    try:
        quantity = adapter.validate_python(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(reason, option) from None
    return quantity.to_value(unit)


@click.command()
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(["local", "slurm", "dirac"]),
    help="Ask this back end; repeatable. By default those of compute.backends.",
)
@click.option("--cpus", type=click.IntRange(min=1), default=1, help="Processors of a job.")
@click.option("--memory", metavar="SIZE", help="Memory of a job, such as 4GB.")
@click.option("--walltime", metavar="TIME", help="Wall-clock time of a job, such as 8h.")
@click.option("--disk", metavar="SIZE", help="Scratch space of a job, such as 20GB.")
@click.option("--near", metavar="QUERY", help="Prefer resources near to these files of the lake.")
@click.option("--all", "show_all", is_flag=True, help="Also show what does not meet the need.")
@json_option
@click.option(
    "--config",
    "config_path",
    help="Configuration whose sections 'compute' and 'lake' are used, '-' for standard input; by "
    f"default {DEFAULT_CONFIG} if it exists.",
)
def resources(backends, cpus, memory, walltime, disk, near, show_all, as_json, config_path):
    """List compute resources that meet a need, the best first.

    Free capacity and nearness of the data decide the order; docs/compute.md tells how. Exits 1 if
    none meets the need, and says what the best ones offer.

    \b
    Examples:
      cta-batch resources
      cta-batch resources --backend slurm --cpus 4 --memory 8GB --walltime 12h
      cta-batch resources --backend dirac --near 'data__level = DL0 and instance__obs_id = 110005'
    """
    from ctabatch.compute.resource import Need
    from ctabatch.compute.search import fitting, survey
    from ctabatch.config.model import Configuration

    if config_path is None and not DEFAULT_CONFIG.exists():
        config = Configuration()
    else:
        config = read_config(config_path or str(DEFAULT_CONFIG))[0]
    need = Need(
        cpus=cpus,
        memory=int(_quantity("Memory", memory, "--memory", "byte")),
        walltime=_quantity("Duration", walltime, "--walltime", "s"),
        disk=int(_quantity("Memory", disk, "--disk", "byte")),
        near=near,
    )
    found, notes = survey(config, need, backends)
    if not show_all:
        found = fitting(found)
    if as_json:
        print_json({"resources": [item.record() for item in found], "notes": notes})
        return
    print_table(*resource_table(found))
    for note in notes:
        click.echo(f"note: {note}", err=True)


def resource_table(found) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table of resources."""
    from ctabatch.compute.resource import hours, size

    def text(value, form=str):
        return "-" if value is None else form(value)

    near = any(item.near_fraction is not None for item in found)
    unmet = any(item.unmet for item in found)
    columns = ["resource", "back end", "status", "CPUs", "memory", "wall time", "disk"]
    columns += ["free", "waiting", "running", "pilots", "platforms"]
    columns += ["near data"] * near + ["does not meet"] * unmet
    rows = []
    for item in found:
        row = [item.name, item.backend, item.status, text(item.cpus)]
        row += [text(item.memory_bytes, size), text(item.walltime_s, hours)]
        row += [text(item.disk_free_bytes, size), text(item.slots_free)]
        row += [text(item.waiting), text(item.running)]
        row.append(", ".join(f"{count} {name}" for name, count in item.pilots.items()))
        row.append(", ".join(item.platforms))
        row += [f"{item.near_fraction or 0:.0%}"] * near + ["; ".join(item.unmet)] * unmet
        rows.append(row)
    return columns, rows
