"""Entry point of ``cta-batch``: finds the command, and turns errors into one line and an exit code."""

import atexit
import gc
import importlib
import sys

import click

from ctabatch.errors import BatchError

#: Command -> module below ctabatch.cli that defines it under the same name.
COMMANDS = {
    "analysis": "analysis",
    "basket": "basket",
    "concordia": "concordia",
    "conditions": "conditions",
    "config": "config",
    "dl3": "dl3",
    "irf": "irf",
    "jobs": "jobs",
    "lake": "lake",
    "login": "iam",
    "logout": "iam",
    "observe": "observe",
    "profiles": "profiles",
    "reprocessing": "reprocessing",
    "resources": "resources",
    "search": "search",
    "whoami": "iam",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called for."""

    def list_commands(self, ctx):
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx, cmd_name):
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ctabatch.cli.{COMMANDS[cmd_name]}")
        return getattr(module, cmd_name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="ctabatch", prog_name="cta-batch")
def main(debug):
    """Batch workflows for the Cherenkov Telescope Array Observatory.

    \b
    Examples:
      cta-batch config check config/config.yaml
      cta-batch irf plan --config config/config.yaml
      cta-batch search 'data__type = GridIRF'
    """


def run(argv=None):
    """Run the command line; never shows a traceback unless ``--debug`` is given.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    # a last collection would walk through all that the libraries hold: 0.3 s after Gammapy
    atexit.register(gc.freeze)
    argv = [item for item in argv if item != "--debug"]
    try:
        main.main(argv, prog_name="cta-batch", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BatchError as error:
        if debug:
            raise
        click.echo(f"cta-batch: error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        if debug:
            raise
        click.echo(f"cta-batch: error: {error.strerror or error}: {error.filename or ''}", err=True)
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"cta-batch: error: {type(error).__name__}: {error} (run again with --debug for the "
            "traceback, and report it)",
            err=True,
        )
        sys.exit(1)
