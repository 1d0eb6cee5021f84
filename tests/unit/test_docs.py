"""The documentation says what the code does: commands, options and messages that it shows exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

from ctabatch.cli.main import main
from tour import sections

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


def command_lines(text):
    """Lines of code blocks that call ``cta-batch``, continued lines joined."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ")
            if line.startswith("cta-batch "):
                yield line
    yield from re.findall(r"`(cta-batch [a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S))


def check(line):
    """Walk the commands of a line; raises KeyError for what does not exist."""
    words = shlex.split(line.replace("...", "WORD"), comments=True)[1:]
    for sign in ("|", ">", "&&", ";"):
        words = words[: words.index(sign)] if sign in words else words
    command, context = main, click.Context(main)
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        for name in words[0].split("|"):
            if name.isupper():  # a placeholder
                return
            if command.get_command(context, name) is None:
                raise KeyError(f"no command {name!r}")
        command = command.get_command(context, words.pop(0).split("|")[0])
    known = {option for item in command.params for option in item.opts + item.secondary_opts}
    known |= {"--help", "-h", "--version", "--debug"}
    for word in words:
        if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known:
            raise KeyError(f"no option {word!r}")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_that_are_shown_exist(page):
    wrong = []
    for line in command_lines(page.read_text()):
        try:
            check(line)
        except (KeyError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert not wrong


def test_symptoms_are_messages_of_the_code():
    """The quoted words of the symptoms stand in our sources or in Snakemake's."""
    import snakemake

    folders = [REPOSITORY / "src", REPOSITORY / "plugins", Path(snakemake.__file__).parent]
    source = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    source = re.sub(r"[\"']\s*\n\s*f?[\"']", "", source)  # text in several pieces
    rows = re.findall(
        r"^\| (.*?) \|", (REPOSITORY / "docs/troubleshooting.md").read_text(), re.MULTILINE
    )
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) > 5
    missing = [
        text
        for text in quoted
        if not all(piece.strip() in source for piece in text.split("...") if piece.strip())
    ]
    assert not missing


def test_each_section_of_the_tour_is_played_by_a_test():
    tests = "".join(
        path.read_text()
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        if path != Path(__file__)
    )
    assert sections()
    for title in sections():
        assert re.search(rf'play\([a-z]+, "{title}"', tests), title
