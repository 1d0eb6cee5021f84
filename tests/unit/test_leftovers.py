"""Temporary files that a killed run left are gone after the next one that ends well."""

import os
import subprocess
import sys

import pytest

SNAKEFILE = """
from ctabatch.leftovers import remove_leftovers

rule all:
    input: "end"

rule first:
    output: temp("first")
    shell: "touch {output}"

rule second:
    input: "first"
    output: "second"
    shell: "touch {output}"

rule third:
    input: "second"
    output: temp("third")
    shell: "touch {output}"

rule fourth:
    input: "third"
    output: "end"
    shell: "touch {output}"

onsuccess:
    remove_leftovers(workflow, storage=False)
"""

LINE = "removed 1 temporary file(s) that an earlier run left"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)

    def command(*options):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", *options],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    return command


@pytest.fixture
def killed(run, tmp_path):
    """Folder in which `second` was made, and the run died before it removed `first`."""
    run("--until", "second")
    (tmp_path / "first").touch()
    os.utime(tmp_path / "first", (1e9, 1e9))
    return tmp_path


def names(folder):
    return {path.name for path in folder.iterdir()} - {"Snakefile", ".snakemake"}


def test_removed_at_the_end(run, killed):
    assert LINE in run()
    assert names(killed) == {"second", "end"}


def test_without_leftovers_nothing_is_removed(run, tmp_path):
    assert LINE not in run()
    assert names(tmp_path) == {"second", "end"}


@pytest.mark.parametrize("options", [["--notemp"], ["--until", "third"], ["--omit-from", "all"]])
def test_who_may_want_them_keeps_them(run, killed, options):
    assert LINE not in run(*options)
    assert "first" in names(killed)


def test_a_target_is_kept(run, killed):
    assert LINE in run("third")
    assert names(killed) == {"second", "third"}
