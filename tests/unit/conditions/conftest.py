"""Conditions in YAML, a cache folder of the test's own, and a throw-away PostgreSQL."""

import getpass
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from ctabatch.config.conditions import ConditionsSettings
from require import require

PASSWORD = "not-a-secret"


def validity(interval, **changes):
    return {
        "interval": interval,
        "atmosphere": "thin",
        "nsb": {"dark": 1.0, "halfmoon": 4.5},
        "optical_throughput": {"LST": 0.95, "MST": 1.0},
        "status": "illustrative",
        "source": "this test",
        **changes,
    }


@pytest.fixture
def files():
    """Content of the YAML files of a small database; may be changed before `folder` is used."""
    return {
        "site": {
            "site": "CTAO-North",
            "periods": {"spring": "2026-02-01/2026-04-01", "dusty": "2026-07-05/2026-07-10"},
            "versions": [
                {
                    "version": "1",
                    "released": "2026-01-01",
                    "description": "first",
                    "validity": [
                        validity("2026-01-01/2026-05-01"),
                        validity("2026-05-01/2026-07-01", telescopes_unavailable=[7, 3]),
                        validity("2026-08-01/2026-09-01"),
                    ],
                },
                {
                    "version": "2",
                    "released": "2026-06-01",
                    "description": "mirrors washed",
                    "validity": [
                        validity(
                            "2026-01-01/2026-05-01", optical_throughput={"LST": 0.99, "MST": 1.0}
                        )
                    ],
                },
            ],
        },
        "air": {
            "atmospheres": {
                "thin": {
                    "description": "thin air",
                    "status": "illustrative",
                    "source": "this test",
                    "parameters": {"model": "us-standard", "column_factor": 0.9},
                }
            }
        },
        "periods": {"periods": {"2026": "2026-01-01/2027-01-01"}},
    }


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Folder of the embedded databases."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ctabatch"


def write_files(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def folder(tmp_path, files, cache):
    """Folder with the YAML files."""
    path = tmp_path / "conditions"
    write_files(path, files)
    return path


@pytest.fixture
def settings(folder):
    return ConditionsSettings(folder=folder, version="1")


def _programs():
    """Folder of PostgreSQL's programs; Debian keeps them out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgresql():
    """Start a PostgreSQL server on loopback; gives the URL of its server without a database."""
    programs = _programs()
    require(programs is not None, "PostgreSQL is not installed (Debian package postgresql)")
    require(
        importlib.util.find_spec("psycopg") is not None,
        "psycopg is not installed (extra 'postgresql' of ctabatch)",
    )
    folder = Path(tempfile.mkdtemp(prefix="cta-pg-", dir="/tmp"))
    account = {}
    user = getpass.getuser()
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    secret = folder / "password"
    secret.write_text(PASSWORD)
    for path in (folder, secret):
        shutil.chown(path, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program, *arguments):
        subprocess.run(
            [programs / program, *arguments],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            timeout=120,
            **account,
        )

    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
    data = ("-D", folder / "data")
    try:
        run("initdb", *data, "-U", "tester", "-A", "scram-sha-256", "--pwfile", secret, "--no-sync")
        run("pg_ctl", *data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://tester@127.0.0.1:{port}"
        finally:
            run("pg_ctl", *data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgresql, monkeypatch, request):
    """URL of an empty database; the password is in the environment."""
    import psycopg

    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    name = f"t{abs(hash(request.node.name)) % 10**8}"
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return f"{postgresql}/{name}"
