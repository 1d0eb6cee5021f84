"""Installing the profiles: links that never take anything away from the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ctabatch.cli.main import run
from ctabatch.compute.profiles import NAMES, user_folder

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run `cta-batch profiles` with an empty folder of the user; exit code, output, errors."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = 0
        try:
            run(["profiles", *arguments, "--from", str(PROJECT / "profiles")])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


def dry_run(profile, **variables):
    """Run Snakemake as a person would, on a workflow with nothing to do."""
    Path("Snakefile").write_text("rule all:\n    shell: 'true'\n")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("CTABATCH", "DIRACX"))}
    argv = [sys.executable, "-m", "snakemake", "--profile", profile, "--dry-run"]
    return subprocess.run(argv, env=keep | variables, capture_output=True, text=True, check=False)


def test_install_twice_is_install_once(cli):
    assert cli("install")[0] == 0
    before = sorted((path.name, path.readlink()) for path in user_folder().iterdir())
    assert [name for name, _ in before] == sorted(NAMES)
    code, out, _ = cli("install")
    assert code == 0
    assert out.count("was there") == len(NAMES)
    assert sorted((path.name, path.readlink()) for path in user_folder().iterdir()) == before
    code, out, _ = cli("remove")
    assert code == 0
    assert list(user_folder().iterdir()) == []


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_profile_of_the_user_is_kept_and_nothing_changed(cli, force):
    mine = user_folder() / "slurm"
    mine.mkdir(parents=True)
    (mine / "config.yaml").write_text("jobs: 3\n")
    code, _, err = cli("install", *force)
    assert code == 1
    assert str(mine) in err
    assert (mine / "config.yaml").read_text() == "jobs: 3\n"
    assert [path.name for path in user_folder().iterdir()] == ["slurm"]


def test_a_link_to_somewhere_else_needs_force(cli, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    user_folder().mkdir(parents=True)
    (user_folder() / "egi").symlink_to(other)
    code, _, err = cli("install")
    assert code == 1
    assert "--force" in err
    assert (user_folder() / "egi").readlink() == other
    assert cli("install", "--force")[0] == 0
    assert (user_folder() / "egi").resolve() == PROJECT / "profiles/egi"
    assert other.is_dir()


def test_absent_profiles_are_bad_input(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run(["profiles", "install", "--from", "nowhere"])
    assert stop.value.code == 2
    assert "nowhere does not hold the profiles" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_each_key_has_a_comment_above(name):
    lines = (PROJECT / "profiles" / name / "config.yaml").read_text().splitlines()
    keys = [i for i, line in enumerate(lines) if line[:1].isalpha()]
    assert len(keys) > 4
    bare = [
        lines[i]
        for i in keys
        if not lines[i - 1].startswith(("#", "?if")) and not lines[i - 1][:1].isalpha()
    ]
    # a key may share the comment of the key right above it
    assert bare == []
    assert isinstance(yaml.safe_load("\n".join(lines)), dict)


def test_profiles_work_by_name(cli):
    cli("install")
    local = dry_run("local")
    assert local.returncode == 0, local.stderr
    slurm = dry_run("slurm", CTABATCH_SLURM_ACCOUNT="cta", CTABATCH_SLURM_PARTITION="long")
    assert slurm.returncode == 0, slurm.stderr
    assert "slurm_account=cta" in slurm.stdout
    assert "slurm_partition=long" in slurm.stdout
    assert "slurm_account" not in dry_run("slurm").stdout


def test_grid_profiles_name_what_must_be_set(cli):
    cli("install")
    for variables, missing in (
        ({}, "DIRACX_URL"),
        ({"DIRACX_URL": "http://127.0.0.1:9"}, "CTABATCH_DIRAC_VO"),
        ({"DIRACX_URL": "http://127.0.0.1:9", "CTABATCH_DIRAC_VO": "vo"}, "CTABATCH_STORAGE"),
    ):
        done = dry_run("egi", **variables)
        assert done.returncode == 2
        assert f"set the environment variable {missing}" in done.stderr.splitlines()[-1]
