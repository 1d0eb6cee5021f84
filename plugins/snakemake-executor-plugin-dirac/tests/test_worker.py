"""The bootstrap script on a worker that lacks something: it says what."""

import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest
import zstandard

from snakemake_executor_plugin_dirac import sources
from snakemake_executor_plugin_dirac.settings import ExecutorSettings

BIN = str(Path(sys.executable).parent)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def worker(tmp_path):
    def run(
        environment="installed",
        arguments=("--version",),
        disk=1,
        made=None,
        path=BIN,
        system="/usr/bin:/bin",
        **env,
    ):
        settings = ExecutorSettings(environment=environment)
        common = sources.run_settings(
            settings, "", {"COLOUR": "deep blue"}, NOWHERE, int(made or time.time())
        )
        content = sources.build_sandbox(
            _tar({"Snakefile": b"rule a:\n  shell: 'echo $COLOUR; false'\n"}),
            sources.job_table([(1, ["--help"]), (disk, list(arguments))]),
            common,
        )
        raw = zstandard.ZstdDecompressor().decompress(content, max_output_size=10**8)
        with tarfile.open(fileobj=BytesIO(raw)) as archive:
            archive.extractall(tmp_path, filter="data")
        values = {"PATH": f"{path}:{system}", "HOME": str(tmp_path), **env}
        done = subprocess.run(
            ["./dirac-job", "1"],
            cwd=tmp_path,
            env=values,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def _tar(files):
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return buffer.getvalue()


def test_runs_snakemake(worker):
    code, output = worker()
    assert code == 0, output
    assert "Snakemake" in output


def test_variables_and_exit_code(worker):
    code, output = worker(arguments=["--cores", "1", "-s", "Snakefile"])
    assert code == 1
    assert "deep blue" in output
    assert "Snakemake ended with exit code 1" in output


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"environment": "cvmfs:/cvmfs/nowhere.example/v1"}, 80, "is CVMFS mounted here?"),
        ({"path": ""}, 80, "no Python with Snakemake"),
        ({"disk": 10**9}, 81, "not enough disk space"),
        ({"made": time.time() + 7200}, 82, "the clock of the worker node is -"),
        ({"X509_USER_PROXY": "/nowhere/proxy"}, 83, "grid proxy /nowhere/proxy"),
    ],
)
def test_says_what_is_missing(worker, options, code, words):
    got, output = worker(**options)
    assert got == code, output
    assert f"dirac-job: PROBLEM: {'the environment' if 'CVMFS' in words else ''}" in output
    assert words in output


def test_image_missing(worker, tmp_path):
    tool = tmp_path / "tools" / "apptainer"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexit 255\n")
    tool.chmod(0o755)
    code, output = worker("apptainer:/images/none.sif", path=str(tool.parent))
    assert code == 80
    assert "PROBLEM: the image /images/none.sif is not there" in output


def test_apptainer_missing(worker, tmp_path):
    # a worker node's programs but for the container tools, which may be installed here
    system = tmp_path / "system"
    system.mkdir()
    for path in (*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()):
        link = system / path.name
        if path.name not in ("apptainer", "singularity") and not link.is_symlink():
            link.symlink_to(path)
    code, output = worker("apptainer:/images/none.sif", system=str(system))
    assert code == 80
    assert "neither apptainer nor singularity" in output


def test_password_of_web_proxy_is_not_shown(worker):
    _, output = worker(http_proxy="http://me:secret123@proxy.example:3128")
    assert "proxy.example" in output
    assert "secret123" not in output
