"""Commands of baskets."""

from pathlib import Path

import click

from ctabatch.cli.lake import CONFIG, open_configured
from ctabatch.cli.options import json_option
from ctabatch.cli.output import ProgressBar, print_json, print_table, size_text
from ctabatch.cli.selection import selection_options

_BASKET = click.option(
    "--basket", "name", default="default", show_default=True, help="Name of the basket."
)


def _opened(config_path):
    """Return lake, its name, and who asks."""
    from ctabatch.basket.store import lake_name
    from ctabatch.iam.identity import current_identity

    lake, config = open_configured(config_path)
    return lake, lake_name(config.lake), current_identity(config)


def _total(basket):
    return f"basket {basket.name}: {len(basket.items)} files, {size_text(basket.bytes)}"


@click.group()
def basket():
    """Files that you keep between a search and an analysis or a download.

    Baskets are yours alone, survive a logout, and may hold files of several lakes.
    """


@basket.command()
@click.argument("what", nargs=-1, metavar="[DID|QUERY]...")
@selection_options
@click.option("--with-metadata", is_flag=True, help="'fetch' writes their metadata, too.")
@click.option("--with-logs", is_flag=True, help="Add the logs of what made them, where kept.")
@_BASKET
@json_option
@CONFIG
def add(what, project, selection, with_metadata, with_logs, name, as_json, config_path):
    """Put files in, each once.

    \b
    Examples:
      cta-batch basket add --project P42 --object Crab
      cta-batch basket add 'data__level = DL3 and proposal_id = P42' --with-logs
    """
    from ctabatch.basket import fill, store
    from ctabatch.errors import InputError, LakeError
    from ctabatch.iam.projects import project_observations

    if not what and project is None:
        raise InputError("nothing to put in", allowed="DIDs, queries, or --project")
    lake, lake_name, person = _opened(config_path)
    rows = fill.find(lake, person, what)
    if project is not None:
        rows += project_observations(lake, person, project, selection)
    if not rows:
        raise LakeError("no file matches, nothing was put in", "look with: cta-batch search")
    items = fill.items(rows, lake_name, metadata=with_metadata)
    if with_logs:
        items += fill.items(fill.logs_of(lake, person, rows), lake_name)
    with store.changing(name) as held:
        held[0], new = held[0].with_items(items)
    if as_json:
        print_json({"basket": name, "new": new, "found": len(items), "bytes": held[0].bytes})
        return
    click.echo(f"{new} put in, {len({item.did for item in items}) - new} were there already")
    click.echo(_total(held[0]))


@basket.command("list")
@_BASKET
@click.option("--names", is_flag=True, help="List the baskets there are.")
@click.option("--dids", is_flag=True, help="Only the DIDs of files that can be used, one a line.")
@json_option
@CONFIG
def list_(name, names, dids, as_json, config_path):
    """Show what is in a basket, its volume, and what became stale.

    \b
    Examples:
      cta-batch basket list
      cta-batch basket list --names
      cta-batch lake stage $(cta-batch basket list --dids)
    """
    from ctabatch.basket import state, store

    if names:
        found = [store.load(known) for known in store.names()]
        if as_json:
            print_json([{"basket": b.name, "files": len(b.items), "bytes": b.bytes} for b in found])
            return
        for one in found:
            click.echo(_total(one))
        return
    held = store.load(name)
    lake, lake_name, person = _opened(config_path)
    found = state.states(held, lake, lake_name, person)
    stale = [item for item in held.items if found[item] != state.GOOD]
    if as_json:
        rows = [vars(item) | {"state": found[item]} for item in held.items]
        print_json({"basket": name, "bytes": held.bytes, "items": rows})
        return
    if dids:
        for item in held.items:
            if item not in stale:
                click.echo(item.did)
    elif held.items:
        header = ["what", "project", "kind", "bytes", "metadata", "state", "did"]
        print_table(
            header,
            [
                [
                    item.label,
                    item.project,
                    item.kind,
                    item.bytes,
                    "yes" if item.metadata else "no",
                    found[item],
                    item.did,
                ]
                for item in held.items
            ],
        )
    click.echo(_total(held), err=True)
    if stale:
        click.echo(
            f"{len(stale)} stale: remove them with cta-batch basket remove --stale --basket {name}",
            err=True,
        )


@basket.command()
@click.argument("what", nargs=-1, metavar="[DID]...")
@click.option("--stale", is_flag=True, help="All that can't be used any more.")
@_BASKET
@CONFIG
def remove(what, stale, name, config_path):
    """Take files out; in a DID * stands for any characters.

    \b
    Examples:
      cta-batch basket remove 'test:/ctao.dpps.test/test/*/110042*'
      cta-batch basket remove --stale
    """
    import fnmatch
    from dataclasses import replace

    from ctabatch.basket import state, store
    from ctabatch.errors import InputError

    if not what and not stale:
        raise InputError("nothing to take out", allowed="DIDs, or --stale")
    if stale:
        lake, lake_name, person = _opened(config_path)
    with store.changing(name) as held:
        before = held[0].items
        gone = set()
        for pattern in what:
            hits = {item for item in before if fnmatch.fnmatchcase(item.did, pattern)}
            if not hits:
                raise InputError(
                    f"{pattern} is not in the basket {name}", allowed="see basket list"
                )
            gone |= hits
        if stale:
            found = state.states(held[0], lake, lake_name, person)
            gone |= {item for item in before if found[item] != state.GOOD}
        held[0] = replace(held[0], items=tuple(item for item in before if item not in gone))
    click.echo(f"{len(gone)} taken out")
    click.echo(_total(held[0]))


@basket.command()
@_BASKET
def clear(name):
    """Empty a basket.

    \b
    Example:
      cta-batch basket clear --basket crab
    """
    from ctabatch.basket import store

    with store.changing(name, anew=True):
        pass
    click.echo(f"basket {name} is empty")


@basket.command("export")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["esap", "dids"]),
    default="esap",
    show_default=True,
    help="ESAP's shopping cart (JSON), or one DID a line.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File; else it is printed.")
@_BASKET
def export(kind, output, name):
    """Write a basket for other programs.

    A shopping cart of ESAP can be read by everybody: it gets names, sizes and checksums only.

    \b
    Example:
      cta-batch basket export -o cart.json
    """
    import json

    from ctabatch.basket import esap, store
    from ctabatch.files import write_text

    held = store.load(name)
    if kind == "dids":
        text = "".join(f"{item.did}\n" for item in held.items)
    else:
        text = json.dumps({"shopping_cart": esap.to_cart(held)}, indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(Path(output), text)
    click.echo(f"{len(held.items)} files written to {output}")


@basket.command("import")
@click.argument("file", type=click.Path(dir_okay=False))
@_BASKET
@CONFIG
def import_(file, name, config_path):
    """Put the files of a shopping cart of ESAP in.

    Entries of other archives than Rucio are left out and counted. What the lake does not have is
    shown as stale by 'basket list'.

    \b
    Example:
      cta-batch basket import cart.json --basket crab
    """
    from ctabatch.basket import esap, store
    from ctabatch.files import read_json

    _, config = open_configured(config_path)
    items, others = esap.from_cart(read_json(Path(file)), store.lake_name(config.lake), file)
    with store.changing(name) as held:
        held[0], new = held[0].with_items(items)
    click.echo(f"{new} put in, {len({item.did for item in items}) - new} were there already")
    if others:
        click.echo(f"{others} of other archives than rucio left out", err=True)
    click.echo(_total(held[0]))


@basket.command()
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False), help="Folder.")
@_BASKET
@json_option
@CONFIG
def fetch(output, name, as_json, config_path):
    """Copy the files of a basket to a folder, verified.

    Beside those that were put in --with-metadata, FILE.lake.json holds the lake's metadata.

    \b
    Example:
      cta-batch basket fetch -o data
    """
    from ctabatch.basket import state, store
    from ctabatch.errors import BatchError
    from ctabatch.files import write_json

    held = store.load(name)
    lake, lake_name, person = _opened(config_path)
    found = state.states(held, lake, lake_name, person)
    stale = [f"{item.did} ({found[item]})" for item in held.items if found[item] != state.GOOD]
    if stale:
        raise BatchError(
            f"{len(stale)} of {len(held.items)} files of basket {name} are stale: {stale[0]}",
            "look with: cta-batch basket list; take them out with: cta-batch basket remove --stale",
        )
    if not held.items:
        raise BatchError(f"basket {name} is empty", "fill it with: cta-batch basket add")
    with ProgressBar("fetch") as progress:
        paths = lake.fetch([item.did for item in held.items], Path(output), progress=progress)
    known = state.known_files(lake, [item.did for item in held.items if item.metadata])
    files = set(paths.values())
    for did, metadata in known.items():
        path = paths[did].with_name(paths[did].name + ".lake.json")
        if path in files:
            raise BatchError(
                f"{path} is a file of the basket, the metadata of {did} can't have its name",
                "take one of them out with: cta-batch basket remove",
            )
        write_json(path, {"did": did, "metadata": metadata})
        paths[f"metadata of {did}"] = path
    if as_json:
        print_json({what: str(path) for what, path in paths.items()})
        return
    for path in paths.values():
        click.echo(path)
