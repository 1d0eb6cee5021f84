"""The command search: files by their metadata, and the observations of a project."""

import click

from ctabatch.cli.lake import CONFIG, open_configured
from ctabatch.cli.options import json_option
from ctabatch.cli.output import print_json, print_table, size_text
from ctabatch.cli.selection import selection_options

#: Metadata that a table shows where no columns are asked for.
_USUAL_COLUMNS = (
    "data__level",
    "data__type",
    "instance__site_id",
    "instance__obs_id",
    "proposal_id",
    "irf__status",
)

#: The table of a project's observations: title, key, and how a number is written.
_OBSERVATION_COLUMNS = (
    ("obs_id", "instance__obs_id", "{}"),
    ("object", "obs__object", "{}"),
    ("start (UTC)", "obs__start", "{}"),
    ("livetime s", "obs__livetime_s", "{:.0f}"),
    ("ra deg", "obs__ra_deg", "{:.3f}"),
    ("dec deg", "obs__dec_deg", "{:.3f}"),
    ("zenith deg", "obs__zenith_deg", "{:.1f}"),
    ("bytes", "bytes", "{}"),
    ("irf", "irf_state", "{}"),
    ("access", "access", "{}"),
    ("did", "did", "{}"),
)


@click.command()
@click.argument("query", required=False)
@selection_options
@click.option("--columns", help="Metadata keys to show, separated by commas.")
@click.option("--limit", type=click.IntRange(min=0), help="Show this many at most.")
@json_option
@CONFIG
def search(query, project, selection, columns, limit, as_json, config_path):
    """Find files of the data lake by their metadata.

    Conditions KEY OPERATOR VALUE with = != < <= > >= are joined by 'and', 'or' and parentheses;
    in text, * stands for any characters. An empty query finds all files.

    With --project the observations of a project are listed that you may see: those of your own
    projects, and those whose release date has come.

    \b
    Examples:
      cta-batch search 'data__level = DL3 and proposal_id = P42'
      cta-batch search 'data__type = GridIRF and instance__site_id = CTAO-*' --json
      cta-batch search 'instance__obs_id >= 110000' --columns instance__obs_id --limit 10
      cta-batch search --project P42 --cone 83.63,22.01,2 --max-zenith '40 deg'
    """
    from ctabatch.errors import InputError
    from ctabatch.lake.frame import frame_records

    names = [name.strip() for name in columns.split(",")] if columns else None
    if project is not None:
        _search_project(project, selection, query or "", names, limit, as_json, config_path)
        return
    if query is None:
        raise InputError("nothing to search for", allowed="a query ('' finds all), or --project")
    lake, _ = open_configured(config_path)
    frame = lake.search(query, columns=names)
    shown = frame if limit is None else frame.head(limit)
    records = frame_records(shown)
    if as_json:
        print_json(records)
        return
    if frame.empty:
        click.echo("no file matches")
        return
    names = names or [name for name in _USUAL_COLUMNS if name in frame.columns]
    header = ["did", "bytes", *names]
    print_table(header, [[record.get(name) for name in header] for record in records])
    if len(shown) < len(frame):
        click.echo(f"{len(shown)} of {len(frame)} files shown", err=True)


def _search_project(project, selection, query, names, limit, as_json, config_path):
    from ctabatch.iam.identity import current_identity
    from ctabatch.iam.projects import project_observations

    lake, config = open_configured(config_path)
    person = current_identity(config)
    found = project_observations(lake, person, project, selection, query)
    shown = found if limit is None else found[:limit]
    if as_json:
        print_json(shown)
        return
    if not found:
        click.echo(f"no observation of project {project} matches")
        return
    if names:
        header = ["did", "bytes", *names]
        print_table(header, [[record.get(name) for name in header] for record in shown])
    else:
        rows = [
            [
                None if record.get(key) is None else _written(form, record[key])
                for _, key, form in _OBSERVATION_COLUMNS
            ]
            for record in shown
        ]
        print_table([title for title, _, _ in _OBSERVATION_COLUMNS], rows)
    total = sum(record["bytes"] for record in found)
    hours = sum(float(record.get("obs__livetime_s") or 0) for record in found) / 3600
    left = "" if len(shown) == len(found) else f"{len(shown)} shown of "
    click.echo(
        f"{left}{len(found)} observations, {size_text(total)}, {hours:.2f} h live time, as seen by "
        f"{person}",
        err=True,
    )


def _written(form, value):
    try:
        return form.format(value)
    except ValueError:  # text where a number should be
        return str(value)
