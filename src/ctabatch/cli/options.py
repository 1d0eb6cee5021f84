"""Options and small helpers that several commands share."""

import sys
from pathlib import Path

import click

DEFAULT_CONFIG = Path("config/config.yaml")

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

config_option = click.option(
    "--config",
    "config_path",
    default=str(DEFAULT_CONFIG),
    show_default=True,
    help="Configuration file; '-' reads it from standard input.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
plan_option = click.option(
    "--plan", "plan_path", type=FILE, required=True, help="The plan, plan.json."
)
output_option = click.option("--output", "-o", type=FILE, required=True, help="File to write.")


def read_config(path: str):
    """Read the configuration that `config_option` names.

    Returns
    -------
    tuple
        The `~ctabatch.config.model.Configuration`, and the name of its source for messages.
    """
    from ctabatch.config.load import MAXIMUM_BYTES, load_config, parse_text

    if path != "-":
        return load_config(Path(path)), path
    from ctabatch.errors import InputError

    try:
        text = sys.stdin.read(MAXIMUM_BYTES + 1)
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", "configuration", "YAML or JSON") from None
    return parse_text(text, "configuration"), "configuration"
