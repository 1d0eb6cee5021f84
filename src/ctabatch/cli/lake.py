"""Commands of the data lake: the group lake."""

import click

from ctabatch.cli.options import DEFAULT_CONFIG, json_option, read_config
from ctabatch.cli.output import ProgressBar, print_json, print_table, size_text

CONFIG = click.option(
    "--config",
    "config_path",
    help="Configuration whose section 'lake' is used, '-' for standard input; by default "
    f"{DEFAULT_CONFIG} if it exists, else the embedded lake in the folder 'lake'.",
)
_WHAT = click.argument("what", nargs=-1, required=True, metavar="DID|QUERY...")


def open_configured(config_path):
    """Return the lake, and the whole configuration."""
    from ctabatch.config.model import Configuration
    from ctabatch.lake.open import open_lake

    if config_path is None and not DEFAULT_CONFIG.exists():
        config = Configuration()
    else:
        config = read_config(config_path or str(DEFAULT_CONFIG))[0]
    return open_lake(config.lake), config


def _open(config_path):
    """Return the lake, and the settings that describe it."""
    lake, config = open_configured(config_path)
    return lake, config.lake


def _select(lake, what):
    """Turn DIDs and queries into DIDs, each once."""
    dids = []
    for text in what:
        is_query = set(text) & set("=<>")
        dids += list(lake.search(text, columns=[])["did"]) if is_query else [text]
    return list(dict.fromkeys(dids))


@click.group()
def lake():
    """Files of the data lake: ingest, stage, fetch, verify.

    Where a command takes DID|QUERY, a text with = < or > is a query as of 'cta-batch search'.
    """


@lake.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("--dataset", help="DID of a dataset to attach the files to; made and closed.")
@click.option("--rse", help="Storage element; the configured one by default.")
@json_option
@CONFIG
def ingest(files, dataset, rse, as_json, config_path):
    """Take products in, described by their sidecars.

    The sidecar of FILE is FILE.meta.json; name and metadata come from it alone.

    Doing it twice is doing it once; an interrupted ingest is completed by the same command.

    \b
    Example:
      cta-batch lake ingest results/irf/demo/*.fits.gz --dataset test:/ctao.dpps.test/test/demo
    """
    from ctabatch.lake.metadata import new_file

    opened, settings = _open(config_path)
    found = [new_file(path, vo=settings.vo, scope=settings.scope) for path in files]
    with ProgressBar("ingest") as progress:
        result = opened.ingest(found, dataset=dataset, rse=rse, progress=progress)
    if as_json:
        print_json({"registered": result.registered, "present": result.present})
        return
    for did in result.registered:
        click.echo(f"{did} registered")
    for did in result.present:
        click.echo(f"{did} was there already")


@lake.command()
@_WHAT
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False), help="Folder.")
@json_option
@CONFIG
def fetch(what, output, as_json, config_path):
    """Copy files to a folder and verify their checksums.

    \b
    Example:
      cta-batch lake fetch 'data__type = GridIRF and irf__status = valid' -o irfs
    """
    from ctabatch.errors import LakeError

    opened, _ = _open(config_path)
    dids = _select(opened, what)
    if not dids:
        raise LakeError("no file matches, nothing was fetched", "look with: cta-batch search")
    with ProgressBar("fetch") as progress:
        paths = opened.fetch(dids, output, progress=progress)
    if as_json:
        print_json({did: str(path) for did, path in paths.items()})
        return
    for path in paths.values():
        click.echo(path)


@lake.command()
@_WHAT
@json_option
@CONFIG
def volume(what, as_json, config_path):
    """Count files and bytes, each file once.

    \b
    Example:
      cta-batch lake volume 'proposal_id = P42 and data__level = DL0'
    """
    opened, _ = _open(config_path)
    found = opened.volume(_select(opened, what))
    if as_json:
        print_json({"files": found.files, "bytes": found.bytes})
        return
    click.echo(f"{found.files} files, {size_text(found.bytes)}")


@lake.command()
@click.argument("what", nargs=-1, metavar="[DID|QUERY...]")
@click.option("--clean", is_flag=True, help="Remove leftovers of killed processes (local lake).")
@json_option
@CONFIG
def verify(what, clean, as_json, config_path):
    """Check the disk copies of files.

    Reads them again and compares size and checksum; all files by default. In the embedded lake it
    also lists stored files that the catalogue does not know.

    \b
    Examples:
      cta-batch lake verify
      cta-batch lake verify 'data__type = GridIRF' --clean
    """
    from ctabatch.errors import InputError, IntegrityError

    opened, settings = _open(config_path)
    local = settings.backend == "local"
    if clean and not local:
        raise InputError("--clean is not for this lake", allowed="lake.backend local")
    dids = _select(opened, what) if what else list(opened.search("", columns=[])["did"])
    faults = opened.verify(dids)
    orphans = [str(path) for path in opened.orphans(remove=clean)] if local else []
    if as_json:
        print_json({"checked": len(dids), "faults": faults, "orphans": orphans, "removed": clean})
    else:
        for did, reason in faults.items():
            click.echo(f"{did}: {reason}")
        for path in orphans:
            click.echo(f"{path}: {'removed, was ' if clean else ''}unknown to the catalogue")
        click.echo(f"{len(dids)} checked, {len(faults)} damaged, {len(orphans)} unknown files")
    if faults:
        raise IntegrityError(
            f"{len(faults)} of {len(dids)} are damaged",
            "remove the damaged copies and ingest the files again",
        )


@lake.command()
@_WHAT
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Set a key; repeatable.")
@json_option
@CONFIG
def metadata(what, changes, as_json, config_path):
    """Show metadata, or set keys of all the files named.

    \b
    Examples:
      cta-batch lake metadata test:/ctao.dpps.test/test/irf/file.fits.gz
      cta-batch lake metadata 'irf__request_digest = 0123*' --set irf__status=superseded
    """
    from ctabatch.errors import InputError
    from ctabatch.lake.query import typecast

    values = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r}", allowed="KEY=VALUE")
        values[key.strip()] = typecast(value.strip())
    opened, _ = _open(config_path)
    dids = _select(opened, what)
    if values:
        opened.set_metadata(dict.fromkeys(dids, values))
    found = opened.metadata(dids)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("no file matches")
    for did, keys in found.items():
        click.echo(did)
        for key in sorted(keys):
            click.echo(f"  {key} = {keys[key]}")


def _seconds(_context, _option, text):
    import re

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not match or not float(match[1]):
        raise click.BadParameter("give a number with s, m, h or d, such as 12h or 7d")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


@lake.command()
@_WHAT
@click.option("--rse", help="Disk to stage to; the configured one by default.")
@click.option(
    "--lifetime", default="7d", show_default=True, callback=_seconds, help="How long to keep it."
)
@click.option("--wait/--no-wait", default=True, help="Wait until all is on disk.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait at most.")
@json_option
@CONFIG
def stage(what, rse, lifetime, wait, timeout, as_json, config_path):
    """Ask for disk copies of files on tape, and wait for them.

    The same command again is the same request: it prolongs it and waits on.

    \b
    Example:
      cta-batch lake stage 'data__level = DL0 and instance__obs_id = 110042' --lifetime 2d
    """
    opened, settings = _open(config_path)
    request = opened.stage(
        _select(opened, what), rse=rse or settings.staging_rse, lifetime=lifetime
    )
    if not as_json:
        click.echo(f"request {' '.join(request.ids)} on {request.rse}")
    if wait:
        with ProgressBar("stage") as progress:
            opened.wait(request, timeout=timeout, progress=progress)
    if as_json:
        print_json({"ids": request.ids, "rse": request.rse, "complete": wait})
    elif wait:
        click.echo("all files are on disk")


@lake.command()
@click.argument("ids", nargs=-1, required=True, metavar="REQUEST...")
@CONFIG
def release(ids, config_path):
    """Give up staging requests.

    Disk copies that no other request holds are removed.

    \b
    Example:
      cta-batch lake release 0f2e93a1c4b8d7760f2e93a1c4b8d776
    """
    from ctabatch.errors import InputError

    opened, _ = _open(config_path)
    held = {identity: request for request in opened.requests() for identity in request.ids}
    unknown = [identity for identity in ids if identity not in held]
    if unknown:
        raise InputError(f"no request {unknown[0]} is held", allowed="ids of: lake requests")
    for request in {held[identity].ids: held[identity] for identity in ids}.values():
        opened.release(request)
        click.echo(f"request {' '.join(request.ids)} released")


@lake.command()
@json_option
@CONFIG
def requests(as_json, config_path):
    """List the staging requests that are held.

    \b
    Example:
      cta-batch lake requests --json
    """
    opened, _ = _open(config_path)
    held = opened.requests()
    if as_json:
        print_json([{"ids": item.ids, "rse": item.rse, "dids": item.dids} for item in held])
    elif not held:
        click.echo("no request is held")
    else:
        rows = [[" ".join(item.ids), item.rse, " ".join(item.dids)] for item in held]
        print_table(["request", "rse", "dids"], rows)
