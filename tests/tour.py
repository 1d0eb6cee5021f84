"""Types the commands of a page of the documentation, and compares what is printed with the page."""

import re
import shlex
from pathlib import Path

from checkout import REPOSITORY

PAGE = REPOSITORY / "docs/tour.md"


def sections(page=PAGE):
    """Title to commands and what they print, of the blocks marked ``console``."""
    found = {}
    for text in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        title = text.splitlines()[0]
        blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        if blocks:
            steps = re.split(r"^\$ ", "\n".join(blocks), flags=re.MULTILINE)[1:]
            found[title] = [(step.partition("\n")[0], step.partition("\n")[2]) for step in steps]
    return found


def pattern_of(shown):
    """What the page shows, as a regular expression; ``...`` stands for anything."""
    lines = [line for line in shown.splitlines() if line.strip()]
    return r"\n".join(
        r"(?:.*\n)*?.*" if line == "..." else r".*".join(map(re.escape, line.split("...")))
        for line in lines
    )


def compare(command, shown, printed):
    """Fail unless a command printed what the page shows."""
    assert re.search(rf"^{pattern_of(shown)}$", printed, re.MULTILINE), (
        f"$ {command}\nthe page shows:\n{shown}\nit printed:\n{printed}"
    )


def play(checkout, title, known=()):
    """Type the commands of a section.

    Parameters
    ----------
    checkout : checkout.Checkout
        Where.
    title : str
        Of the section.
    known : dict
        Command to its output, of those that ran already.
    """
    for command, shown in sections()[title]:
        if command in known:
            compare(command, shown, known[command])
            continue
        words = []
        for word in shlex.split(command):
            hits = sorted(checkout.folder.glob(word)) if "*" in word and " " not in word else []
            words += [str(Path(hit).relative_to(checkout.folder)) for hit in hits] or [word]
        done = checkout.run(*words)
        compare(command, shown, done.stdout + done.stderr)
