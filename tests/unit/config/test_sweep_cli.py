"""A bad configuration on the command line: exit code 2, one line, and nothing is touched."""

import gc
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from configurations import configuration_sweep
from ctabatch.cli.main import main
from project_tools import fill_lake
from sweep_tools import VALUES, changed, check_line

#: Files that are no configuration, or harm whoever reads them without care.
FILES = {
    "empty": b"",
    "blank": b" \n\n",
    "binary": bytes(range(256)) * 40,
    "image": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "compressed": b"\x1f\x8b\x08\x00" + b"\xff" * 100,
    "Latin-1": "contact: {name: Jürgen}".encode("latin-1"),
    "UTF-16": "results: x".encode("utf-16"),
    "UTF-7 in disguise": b"results: +AC8-etc+AC8-passwd\n  x: 1\n",
    "list": b"- results: x\n",
    "text": b"results\n",
    "two documents": b"results: a\n---\nresults: b\n",
    "alias": b"a: &a [1]\nb: *a\n",
    "endless alias": b"a: &a [*a]\n",
    "bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n".encode()
        for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
    ),
    "merge bomb": b"a: &a {x: 1}\nb: {<<: [*a, *a, *a]}\n",
    "Python object": b"results: !!python/object/apply:os.system ['touch owned']\n",
    "Python name": b"results: !!python/name:os.system\n",
    "Python module": b"results: !!python/module:antigravity\n",
    "Python tuple": b"results: !!python/tuple [a]\n",
    "unknown tag": b"results: !include /etc/passwd\n",
    "binary tag": b"results: !!binary aGVsbG8=\n",
    "set": b"results: !!set {a, b}\n",
    "doubled key": b"results: a\nresults: b\n",
    "doubled key in a section": b"limits: {jobs: 1, jobs: 2}\n",
    "key that is a truth value": b"analysis: {energy: {true: {}}}\n",
    "key with control characters": b'"a\\u0000\\e[2J": 1\n',
    "deep list": b"results: " + b"[" * 100_000,
    "deep section": b"results: " + b"{a: " * 5000,
    "deep block": b"".join(b" " * depth + b"a:\n" for depth in range(1200)),
    "long key": b"x" * 200_000 + b": 1\n",
    "many keys": b"".join(b"key%d: 1\n" % number for number in range(20_000)),
    "huge": b"# " + b"x" * 1_100_000 + b"\nresults: x\n",
    "huge number": b"limits: {jobs: " + b"9" * 10_000 + b"}\n",
    "number with an exponent": b"limits: {cpu_hours: 1e3}\n",
    "no date": b"observation: {release_date: 2026-02-31}\n",
    "tab": b"limits:\n\tjobs: 1\n",
    "unclosed": b"limits: {jobs: 1\n",
    "line separator": "results: a\u2028b\n".encode(),
    "right to left": "results: \u202egnp.exe\n".encode(),
}


def snapshot(folder):
    """What is in a folder: names, modes, times and content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A lake that no process has open."""
    folder = tmp_path_factory.mktemp("filled")
    fill_lake(folder / "lake")
    gc.collect()  # closes the catalogue
    return folder / "lake"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, filled):
    """A working folder with a filled lake, and a home, of the test's own."""
    work = tmp_path / "work"
    shutil.copytree(filled, work / "lake")
    monkeypatch.chdir(work)
    for name in ("STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    return work


def check_refusal(result, file):
    """Exit code 2, nothing on standard output, and a line that names the file."""
    code, out, err = result
    assert code == 2, (code, err)
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith(f"cta-batch: error: {file}"), err
    assert err.removesuffix("\n").isprintable(), repr(err)
    assert len(err) < 1100
    assert "Traceback" not in err


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_no_configuration(cta_batch, home, name):
    (home / "file.yaml").write_bytes(FILES[name])
    before = snapshot(home)
    check_refusal(cta_batch("config", "check", "file.yaml"), "file.yaml")
    assert snapshot(home) == before


@pytest.mark.parametrize("name", ["absent.yaml", "lake", "a\nb", "x" * 300, "a/b/c"])
def test_name_that_is_no_file(cta_batch, home, name):
    before = snapshot(home)
    code, out, err = cta_batch("config", "check", name)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.removesuffix("\n").isprintable()
    assert snapshot(home) == before


def test_a_bad_value_of_each_field_in_a_file(cta_batch, home):
    sweep = configuration_sweep()
    choice = random.Random(1)
    file = home / "file.yaml"
    file.touch()
    before = snapshot(home / "lake")
    refused = 0
    for place, (base, location) in sweep.found.items():
        # 'surrogate' can't be written to a file
        name = choice.choice(sorted(VALUES.keys() - {"surrogate", "null", "empty", "zero"}))
        needed = {location[0], "simulation" if location[0] == "irf" else "iam"}
        part = {key: value for key, value in base.items() if key in needed}
        content = changed(part, location, VALUES[name])
        file.write_text(yaml.dump(content, allow_unicode=True, Dumper=yaml.CSafeDumper))
        code, out, err = result = cta_batch("config", "check", "file.yaml")
        if code == 0:
            assert out.startswith("file.yaml: OK"), (place, name)
            sweep.judge(place, name, VALUES[name])
            continue
        check_refusal(result, "file.yaml")
        check_line(err.removeprefix("cta-batch: error: ").removesuffix("\n"), location)
        refused += 1
    assert refused > 0.85 * len(sweep.found)
    assert snapshot(home / "lake") == before
    assert {path.name for path in home.iterdir()} == {"file.yaml", "lake"}


def commands(command, path=()):
    """All commands with their path."""
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from commands(command.get_command(None, name), (*path, name))
    else:
        yield path, command


CONFIGURED = {
    " ".join(path): command
    for path, command in commands(main)
    if any("--config" in option.opts for option in command.params)
}


#: What a command needs besides, to look at the configuration at all.
ONLY_WITH = {
    "basket add": ["a = 1"],
    "basket remove": ["--stale"],
    "irf validate": ["--plan", "plan.json"],
    "jobs fetch": ["1"],
    "jobs kill": ["1"],
    "jobs logs": ["1"],
    "search": ["a = 1"],
}


def filled_in(command, plan):
    """Arguments that a command can't do without; files are a plan."""
    for option in command.params:
        if not option.required:
            continue
        kind = option.type
        if isinstance(kind, click.Choice):
            value = kind.choices[0]
        elif isinstance(kind, click.IntRange):
            value = "1"
        elif isinstance(kind, click.Path) and kind.exists:
            value = str(plan)
        else:
            value = "new"
        yield from ([value] if isinstance(option, click.Argument) else [option.opts[0], value])


def test_commands_with_a_configuration_are_found():
    assert len(CONFIGURED) > 35


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize("from_stdin", [False, True], ids=["file", "stdin"])
def test_every_command_refuses_a_bad_configuration(cta_batch, home, monkeypatch, name, from_stdin):
    content = {"lake": {"local": {"folder": "lake; rm -rf /"}}}
    (home / "bad.yaml").write_text(yaml.safe_dump(content))
    plan = home / "plan.json"
    plan.write_text(json.dumps({"plan": 1}))
    before = snapshot(home)
    arguments = [*name.split(), *filled_in(CONFIGURED[name], plan)]
    if name in ONLY_WITH:
        arguments += ONLY_WITH[name]
    with (home / "bad.yaml").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        code, out, err = cta_batch(*arguments, "--config", "-" if from_stdin else "bad.yaml")
    assert code == 2, (arguments, err)
    assert out == ""
    assert err.count("\n") == 1, err
    source = "configuration" if from_stdin else "bad.yaml"
    assert err.startswith(f"cta-batch: error: {source}: lake.local.folder: "), err
    assert "must not" in err
    assert snapshot(home) == before


def test_exit_code_of_the_process(home):
    (home / "bad.yaml").write_text("lake: {local: {folder: '$(touch owned)'}}\n")
    before = snapshot(home)
    for arguments in (["config", "check", "bad.yaml"], ["search", "a = 1", "--config", "bad.yaml"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("cta-batch"), *arguments],
            capture_output=True,
            text=True,
            env=os.environ,
        )
        check_refusal((done.returncode, done.stdout, done.stderr), "bad.yaml: lake.local.folder: ")
    assert snapshot(home) == before
