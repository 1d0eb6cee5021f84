"""What a killed main process left is cleared up by the next one, and by no other."""

import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ctabatch.files import is_temporary, replacing
from ctabatch.running import MARK, claim, describe, only_looks, orphans

RUN = "from ctabatch.running import claim; claim('results'); print('up', flush=True); input()"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory as a main process leaves it when it is killed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MARK, raising=False)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    for name in ("0.input.lock", "0.output.lock"):
        (tmp_path / ".snakemake/locks" / name).write_text("results/a\n")
    (tmp_path / ".snakemake/running.lock").write_text(socket.gethostname() + "\n")
    (tmp_path / "results").mkdir()
    return tmp_path


def locks(place):
    return len(list((place / ".snakemake/locks").iterdir()))


@pytest.fixture
def other(place):
    """Another main process that lives in the directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    yield process
    process.kill()
    process.communicate()


def test_locks_and_half_written_files_of_the_dead_go(place):
    (place / "results/whole.json").write_text("{}")
    (place / "results/.hidden").write_text("a person's")
    with replacing(place / "results/whole.fits.gz") as half:
        pass
    half.write_text("killed here")
    with TemporaryDirectory(prefix=".reduced.", dir=place / "results", delete=False) as folder:
        Path(folder, "a.fits").write_text("killed here, too")
    found = claim(place / "results")
    assert found == {"jobs": 0, "locks": 2, "files": 2}
    assert describe(found) == "an earlier run was killed: removed 2 locks and 2 files that it left"
    assert {path.name for path in (place / "results").iterdir()} == {
        "whole.json",
        "whole.fits.gz",
        ".hidden",
    }
    assert locks(place) == 0


def test_outputs_of_jobs_that_were_cut_off_go(place):
    """As Snakemake records them, long names in folders; what lies elsewhere stays."""
    names = [
        "results/cut.h5",
        f"results/{'long' * 60}/cut.h5",
        "results/../kept.h5",
        "root://a/b.h5",
    ]
    folder = place / ".snakemake/incomplete"
    for name in names:
        code = urlsafe_b64encode(name.encode()).decode()
        parts = [code[i : i + 254] for i in range(0, len(code), 254)]
        record = folder.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text('{"external_jobid": null}')
    for name in ("results/cut.h5", "results/whole.h5", "kept.h5"):
        (place / name).write_text("content")
    assert claim(Path("results"))["files"] == 1
    assert {path.name for path in (place / "results").iterdir()} == {"whole.h5"}
    assert (place / "kept.h5").exists()
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2


def test_locks_of_the_living_stay(place, other):
    (place / ".snakemake/locks/0.input.lock").write_text("results/a\n")
    before = locks(place)
    assert claim(place / "results") == {}
    assert locks(place) == before > 0


def test_killed_main_process_is_dead(place, other):
    (place / ".snakemake/locks/0.input.lock").write_text("results/a\n")
    other.kill()
    other.wait()
    assert claim(place / "results")["locks"] == 1


def test_locks_of_another_machine_stay(place):
    """Where folders are shared, one that lives there may hold a lock that is not seen here."""
    (place / ".snakemake/running.lock").write_text("elsewhere\n")
    assert claim(place / "results") == {}
    assert locks(place) == 2


def test_locks_of_an_unknown_machine_stay(place):
    (place / ".snakemake/running.lock").unlink()
    assert claim(place / "results") == {}
    assert locks(place) == 2


def test_jobs_without_main_process_end(place, monkeypatch):
    monkeypatch.setenv(MARK, str(place.resolve()))
    jobs = [
        subprocess.Popen(["sleep", "600"]),
        # one that does not want to
        subprocess.Popen(
            ["bash", "-c", "trap '' TERM; echo; while true; do sleep 0.1; done"],
            stdout=subprocess.PIPE,
        ),
    ]
    jobs[1].stdout.readline()  # it ignores SIGTERM now
    monkeypatch.setenv(MARK, "/another/folder")
    foreign = subprocess.Popen(["sleep", "600"])
    monkeypatch.setattr("ctabatch.running.PATIENCE", 0.5)
    try:
        assert {job.pid for job in jobs} <= set(orphans(str(place.resolve())))
        assert claim(place / "results")["jobs"] >= 2
        assert [job.wait(10) for job in jobs] == [-15, -9]
        assert foreign.poll() is None
    finally:
        for process in (*jobs, foreign):
            process.kill()


def test_nothing_left_is_not_said():
    assert describe({}) is None
    assert describe({"jobs": 0, "locks": 0}) is None


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        (".a.json.x1b2_c3d.json", True),
        (".plan.abcd1234", True),
        (".dl3.fits.gz.abcd1234.fits.gz", True),
        ("a.json", False),
        (".gitignore", False),
        (".a.json", False),
    ],
)
def test_names_of_half_written_files(name, temporary):
    assert is_temporary(name) is temporary


def test_half_written_name_is_recognised(tmp_path):
    for name in ("plan.json", "dl3.fits.gz", "no-suffix", "x" * 60 + ".h5"):
        with replacing(tmp_path / name) as path:
            assert is_temporary(Path(path).name)


@pytest.mark.parametrize(
    ("command", "looks"),
    [
        ("snakemake irf", False),
        ("/env/bin/snakemake irf --cores 2 -k", False),
        ("snakemake irf -n", True),
        ("snakemake irf -np --cores 1", True),
        ("snakemake --dry-run", True),
        ("snakemake --lint", True),
        ("snakemake --summary", True),
        ("snakemake irf --configfile lint.yaml", False),
        ("snakemake --unlock", False),
        ("snakemake --no-such-option", False),
        ("snakemake --cores", True),
        ("pytest -n 2", False),
    ],
)
def test_commands_that_only_look(command, looks, capsys):
    assert only_looks(command.split()) is looks
