"""Output of commands: tables, JSON, progress."""

import sys

import click


def print_json(content):
    """Print JSON for programs."""
    import json

    click.echo(json.dumps(content, indent=2))


def print_result(content, as_json, describe):
    """Print a result: as JSON, or as the text that `describe` makes of it."""
    if as_json:
        print_json(content)
    else:
        click.echo(describe(content))


class ProgressBar:
    """A bar on a terminal; as context it gives the callback, None elsewhere.

    Parameters
    ----------
    title : str
        What is going on.
    """

    def __init__(self, title):
        self.title = title

    def __enter__(self):
        if not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.bar.start()
        task = self.bar.add_task(self.title, total=None)
        return lambda done, total, what: self.bar.update(task, completed=done, total=total)

    def __exit__(self, *exception):
        if hasattr(self, "bar"):
            self.bar.stop()


def print_table(columns, rows):
    """Print a table on a terminal, and tab-separated lines elsewhere."""
    cells = [["" if value is None else _printable(str(value)) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [columns, *cells]:
            click.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in cells:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def _printable(text):
    """Replace control characters: metadata are other people's, and a terminal obeys them."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def size_text(count):
    """Write a number of bytes, with a unit where it is large."""
    from rich.filesize import decimal

    return f"{count} bytes ({decimal(count)})" if count >= 1000 else f"{count} bytes"
