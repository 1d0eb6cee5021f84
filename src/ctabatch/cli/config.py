"""``cta-batch config``: check a configuration, show its schema, explain a key."""

import json
from pathlib import Path

import click

from ctabatch.cli.options import json_option
from ctabatch.cli.output import print_json

#: Targets of the workflow; each needs the section of the same name.
TARGETS = ("irf", "reprocessing", "analysis", "concordia")


@click.group()
def config():
    """Check and explain configurations.

    \b
    Examples:
      cta-batch config check config/config.yaml
      cta-batch config explain irf.pointing.zenith
    """


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(file, as_json):
    """Check the configuration FILE; exit 2 and one line if it has a mistake.

    \b
    Example:
      cta-batch config check config/config.yaml
    """
    from ctabatch.config.load import load_config
    from ctabatch.errors import InputError

    try:
        loaded = load_config(file)
    except InputError as error:
        if as_json:
            where = error.where or str(file)
            content = {"valid": False, "where": where, "message": error.message}
            click.echo(json.dumps(content | {"allowed": error.allowed}))
        raise
    requests = {name: getattr(loaded, name, None) for name in TARGETS}
    names = {
        target: getattr(request, "name", None)
        for target, request in requests.items()
        if request is not None
    }
    if as_json:
        click.echo(json.dumps({"valid": True, "file": str(file), "targets": names}))
    elif names:
        targets = ", ".join(f"{t} ({name})" if name else t for t, name in names.items())
        click.echo(f"{file}: OK; it can run: {targets}")
    else:
        click.echo(f"{file}: OK, but it has no request; sections of requests: {', '.join(TARGETS)}")


@config.command()
@click.option("--write", is_flag=True, help="Write the generated files of the checkout instead.")
def schema(write):
    """Show the JSON schema of configurations.

    With --write, regenerates workflow/schemas/config.schema.json and config/README.md in the
    checkout that is the working directory.

    \b
    Example:
      cta-batch config schema > config.schema.json
    """
    from ctabatch.config.documentation import schema_text, write_generated

    if not write:
        click.echo(schema_text(), nl=False)
        return
    changed = write_generated(Path.cwd())
    for path in changed:
        click.echo(f"wrote {path}")
    if not changed:
        click.echo("up to date")


@config.command()
@click.argument("key")
@json_option
def explain(key, as_json):
    """Explain KEY: meaning, unit, what is allowed, default, example.

    \b
    Examples:
      cta-batch config explain irf.pointing.zenith
      cta-batch config explain irf.precision
    """
    from ctabatch.config.explain import explain as find

    entry, *below = find(key)
    if as_json:
        print_json([_content(item) for item in (entry, *below)])
        return
    click.echo(f"{entry.key}: {entry.meaning}")
    if not entry.section:
        if entry.unit:
            click.echo(f"  unit:    {entry.unit}, or any that converts to it")
        click.echo(f"  allowed: {entry.allowed}")
    click.echo(f"  default: {entry.default_text}")
    if entry.example is not None:
        click.echo(f"  example: {entry.example}")
    for item in below:
        click.echo(f"  {item.key.removeprefix(entry.key).lstrip('[].')}: {item.meaning}")
        click.echo(f"    {item.allowed}; default: {item.default_text}")


def _content(entry):
    return {
        "key": entry.key,
        "meaning": entry.meaning,
        "unit": entry.unit,
        "allowed": entry.allowed,
        "required": entry.required,
        "default": None if entry.required else entry.default,
        "example": entry.example,
    }
