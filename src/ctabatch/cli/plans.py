"""The commands ``plan`` and ``show``, which the use cases have in common."""

import click

from ctabatch.cli.options import FILE, FOLDER, json_option, read_config
from ctabatch.cli.output import print_result

#: Option of ``plan``.
plan_output_option = click.option("--output", "-o", type=FILE, help="Write plan.json here.")
#: Option of ``plan`` where jobs look at it.
job_option = click.option(
    "--job", type=FILE, help="Write the plan here, too, for jobs on other machines."
)


def show_options(command):
    """Add the options of ``show``: ``folder``, ``plan_path`` and ``as_json``."""
    for option in (
        json_option,
        click.option("--plan", "plan_path", type=FILE, help="Show this plan instead of results."),
        click.argument("folder", type=FOLDER, required=False),
    ):
        command = option(command)
    return command


def make_and_print(config_path, output, as_json, make, write, describe, job=None):
    """Plan a request, write the plan where `output` is given, and print it.

    A folder that can't be written is refused before the plan is made, which may take a while.
    """
    from ctabatch.files import write_json
    from ctabatch.plans import check_folder

    config, where = read_config(config_path)
    if output is not None:
        check_folder(output.parent)
    content = make(config, where)
    if output is not None:
        write(content, output)
    if job is not None:
        write_json(job, content)
    print_result(content, as_json, describe)
    return content


def read_to_show(command, folder, plan_path, read):
    """Return what ``show`` shows: a plan, or the results that `read` finds in a folder."""
    from ctabatch.errors import InputError
    from ctabatch.files import read_json

    if plan_path is not None:
        return read_json(plan_path)
    if folder is None:
        raise InputError("names nothing to show", command, "a folder of results, or --plan FILE")
    return read(folder)
