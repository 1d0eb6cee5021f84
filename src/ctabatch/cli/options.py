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
    from ctabatch.config.load import load_config, parse_config

    if path != "-":
        return load_config(Path(path)), path
    import yaml

    from ctabatch.errors import InputError

    try:
        content = yaml.safe_load(sys.stdin.read())
    except yaml.YAMLError as error:
        raise InputError(f"is not YAML or JSON: {error}", "standard input") from None
    return parse_config(content or {}, "configuration"), "configuration"
