"""``cta-batch conditions``: look at the conditions database, and fill a shared one."""

import click

from ctabatch.cli.options import json_option, read_config
from ctabatch.cli.output import print_json


def _settings(config, url, folder):
    from ctabatch.config.conditions import ConditionsSettings
    from ctabatch.config.load import parse_section

    settings = read_config(config)[0].conditions if config else ConditionsSettings()
    changes = {"url": url} if url else {}
    changes |= {"folder": folder} if folder else {}
    content = settings.model_dump(mode="json") | changes
    return parse_section(ConditionsSettings, content, "conditions")


def _database(command):
    for option in (
        click.option("--folder", help="Folder with the YAML files, instead of the configured one."),
        click.option("--url", help="Shared database, instead of the configured one."),
        click.option("--config", help="Configuration to take both from; '-': standard input."),
    ):
        command = option(command)
    return command


@click.group()
def conditions():
    """Show what held at a site during a time; fill a shared database.

    \b
    Examples:
      cta-batch conditions list
      cta-batch conditions show CTAO-North 2026-winter
      cta-batch conditions fill --url postgresql://user@host/conditions
    """


@conditions.command("list")
@click.option("--site", help="Only this site.")
@_database
@json_option
def list_command(site, config, url, folder, as_json):
    """List conditions and named periods.

    \b
    Example:
      cta-batch conditions list --site CTAO-South
    """
    from ctabatch.conditions.lookup import list_conditions, list_periods
    from ctabatch.conditions.model import interval_text

    settings = _settings(config, url, folder)
    found, named = list_conditions(settings, site), list_periods(settings, site)
    if as_json:
        periods = [
            {"site": p.site or None, "name": p.name, "start": str(p.start), "end": str(p.end)}
            for p in named
        ]
        content = {"conditions": [c.model_dump(mode="json") for c in found], "periods": periods}
        print_json(content)
        return
    for item in found:
        span = interval_text(item.valid_from, item.valid_to)
        click.echo(f"{item.site}  version {item.version}  {span}  {item.atmosphere}")
    for period in named:
        click.echo(f"{period.site or 'all sites'}  period {period}")


@conditions.command()
@click.argument("site")
@click.argument("period")
@click.option("--version", help="Version of the conditions; the newest by default.")
@_database
@json_option
def show(site, period, version, config, url, folder, as_json):
    """Show the conditions of SITE that hold during PERIOD, an ISO interval or a name.

    \b
    Examples:
      cta-batch conditions show CTAO-North 2026-winter
      cta-batch conditions show CTAO-South 2026-01-01/2026-02-01 --json
    """
    from ctabatch.conditions.lookup import describe_atmosphere, lookup_conditions
    from ctabatch.conditions.model import interval_text

    settings = _settings(config, url, folder)
    item = lookup_conditions(settings, site, period, version, where="conditions")
    atmosphere = describe_atmosphere(settings, item.atmosphere)
    if as_json:
        content = item.model_dump(mode="json")
        content["atmosphere"] = {"name": item.atmosphere} | atmosphere.model_dump(mode="json")
        print_json(content)
        return
    unavailable = ", ".join(map(str, item.telescopes_unavailable)) or "none"
    for name, value in {
        "site": item.site,
        "period": interval_text(item.start, item.end),
        "version": item.version,
        "valid": interval_text(item.valid_from, item.valid_to),
        "atmosphere": f"{item.atmosphere}: {atmosphere.description} ({atmosphere.status})",
        "NSB": ", ".join(f"{level} {factor:g}" for level, factor in item.nsb.items()),
        "throughput": ", ".join(f"{t} {f:g}" for t, f in item.optical_throughput.items()),
        "unavailable": f"telescopes {unavailable}" if item.telescopes_unavailable else unavailable,
        "status": item.status,
        "source": item.source,
    }.items():
        click.echo(f"{name + ':':<12} {value}")


@conditions.command()
@click.option("--url", required=True, help="postgresql://user@host/database or sqlite:///FILE.")
@click.option("--folder", help="Folder with the YAML files.", default=None)
@click.option("--replace", is_flag=True, help="Replace what is there with other content.")
@json_option
def fill(url, folder, replace, as_json):
    """Make the tables of a shared database and fill them from the YAML files.

    Doing it twice changes nothing. The password of PostgreSQL comes from PGPASSWORD or ~/.pgpass.

    \b
    Example:
      cta-batch conditions fill --url postgresql://user@host/conditions
    """
    from ctabatch.conditions import database
    from ctabatch.conditions import fill as filling

    settings = _settings(None, url, folder)
    content = filling.read_files(database.yaml_files(settings.folder))
    engine = database.connect(settings.url, create=True)
    done = database.call(lambda: filling.fill(engine, content, replace=replace), engine)
    if as_json:
        print_json(vars(done))
        return
    for what in done.added:
        click.echo(f"added {what}")
    for what in done.replaced:
        click.echo(f"replaced {what}")
    counts = (len(done.added), len(done.replaced), len(done.present))
    click.echo("{} added, {} replaced, {} there already".format(*counts))
