"""``cta-batch profiles``: the Snakemake profiles of this project."""

import click

from ctabatch.cli.options import FOLDER, json_option
from ctabatch.cli.output import print_json, print_table

_FROM = click.option(
    "--from",
    "source",
    type=FOLDER,
    help="Folder with the profiles; that of the checkout by default.",
)


@click.group()
def profiles():
    """Snakemake profiles local, slurm, dirac and egi: who runs the jobs.

    \b
    Example:
      cta-batch profiles install && snakemake --profile slurm irf
    """


@profiles.command()
@_FROM
@click.option("--force", is_flag=True, help="Replace links that lead elsewhere; never a folder.")
def install(source, force):
    """Link the profiles into your Snakemake folder.

    Then 'snakemake --profile dirac irf' works in any folder. Doing it twice is doing it once; a
    profile of your own with the same name is kept, and nothing is changed.

    \b
    Example:
      cta-batch profiles install
    """
    from ctabatch.compute.profiles import find_source
    from ctabatch.compute.profiles import install as link

    for item in link(find_source(source), force):
        was = {"installed": "was there", "other link": "replaced"}.get(item.state, "installed")
        click.echo(f"{item.name}: {was}, {item.place}")


@profiles.command("list")
@_FROM
@json_option
def list_(source, as_json):
    """Show the profiles and whether they are installed.

    \b
    Example:
      cta-batch profiles list
    """
    from ctabatch.compute.profiles import find_source, look

    links = look(find_source(source))
    if as_json:
        print_json([{"name": i.name, "state": i.state, "place": str(i.place)} for i in links])
        return
    print_table(["profile", "state", "place"], [[i.name, i.state, i.place] for i in links])


@profiles.command()
@_FROM
def remove(source):
    """Remove the links to the profiles, nothing else.

    \b
    Example:
      cta-batch profiles remove
    """
    from ctabatch.compute.profiles import find_source
    from ctabatch.compute.profiles import remove as unlink

    removed = unlink(find_source(source))
    for item in removed:
        click.echo(f"{item.name}: removed")
    if not removed:
        click.echo("no profile of this project is installed")
