"""Temporary files that a killed run left are gone after the next one that ends well."""

import os
import subprocess
import sys
from base64 import urlsafe_b64encode

import pytest

SNAKEFILE = """
from ctabatch.leftovers import remove_leftovers

def planned(wildcards):
    checkpoints.plan.get()
    return "end"

rule all:
    input: planned

# as in the workflow, all else is behind it
checkpoint plan:
    output: "plan"
    shell: "touch {output}"

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
    return {path.name for path in folder.iterdir()} - {"Snakefile", ".snakemake", "plan"}


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


@pytest.fixture
def run_in_storage(run, tmp_path):
    """Run with files in a storage, as on the grid."""
    options = (
        *("--default-storage-provider", "fs", "--default-storage-prefix", tmp_path / "stored"),
        *("--shared-fs-usage", "persistence", "sources", "source-cache"),
    )
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("storage=False", "storage=True"))
    return lambda *more: run(*map(str, options), *more)


def test_files_and_records_in_a_storage(run_in_storage, tmp_path):
    run_in_storage("--until", "second")
    left = tmp_path / "stored/first"
    left.touch()
    os.utime(left, (1e9, 1e9))
    record = tmp_path / ".snakemake/incomplete" / urlsafe_b64encode(bytes(left)).decode()
    record.write_text("{}")
    foreign = record.with_name(urlsafe_b64encode(b"/another/file").decode())
    foreign.write_text("{}")
    assert LINE in run_in_storage()
    assert names(tmp_path / "stored") == {"second", "end"}
    assert not record.exists()
    assert foreign.exists()
