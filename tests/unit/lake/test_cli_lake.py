"""The commands of the data lake, as a person and a program use them."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from ctabatch.cli.main import run
from ctabatch.lake.metadata import build_product_metadata, did_for, write_sidecar

COMMANDS = ("fetch", "ingest", "metadata", "release", "requests", "stage", "verify", "volume")


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = 0
        try:
            run(arguments if arguments[0] == "search" else ["lake", *arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def products(tmp_path):
    """Two IRFs with sidecars; their paths and DIDs."""
    found = {}
    for site in ("CTAO-North", "CTAO-South"):
        path = tmp_path / f"irf-{site}.fits.gz"
        path.write_bytes(site.encode() * 200)
        metadata = build_product_metadata(
            description="IRF of the test",
            data={
                "level": "DL3",
                "division": "Service",
                "association": "Subarray",
                "type": "GridIRF",
            },
            instance={"site_id": site, "facility_name": "Simulated-CTAO"},
            curation={"release": "r1"},
            model={"name": "GADF", "version": "0.3"},
            contact={"name": "A", "organization": "B", "email": "a@example.org"},
            activity={"name": "x", "start": "2026-03-01T20:00:00", "configuration_id": "c"},
            extra={"irf__status": "valid"},
        )
        write_sidecar(path, metadata)
        found[str(path)] = did_for(metadata.product, path.name, vo="ctao.dpps.test", scope="test")
    return found


@pytest.fixture
def filled(cli, products):
    assert cli("ingest", *products, "--dataset", "test:/ctao.dpps.test/test/irfs")[0] == 0
    return products


def test_ingest_search_fetch(cli, products, tmp_path):
    code, out, _ = cli("ingest", *products)
    assert code == 0
    assert out.splitlines() == [f"{did} registered" for did in products.values()]
    code, out, _ = cli("ingest", *products, "--json")
    assert json.loads(out) == {"registered": [], "present": list(products.values())}

    code, out, _ = cli("search", "data__type = GridIRF and instance__site_id = CTAO-N*", "--json")
    (record,) = json.loads(out)
    assert record["did"] == next(iter(products.values()))
    assert record["bytes"] == 2000
    assert record["irf__status"] == "valid"
    assert "observation" not in record

    code, out, _ = cli("fetch", "irf__status = valid", "-o", "out", "--json")
    assert code == 0
    assert json.loads(out) == {did: f"out/{did.rsplit('/', 1)[1]}" for did in products.values()}
    assert (tmp_path / "out" / "irf-CTAO-South.fits.gz").read_bytes() == b"CTAO-South" * 200


def test_search_output(cli, filled):
    _, out, _ = cli("search", "data__level = DL3")
    lines = [line.split("\t") for line in out.splitlines()]
    keys = ["data__level", "data__type", "instance__site_id", "irf__status"]
    assert lines[0] == ["did", "bytes", *keys]
    assert lines[1][1:] == ["2000", "DL3", "GridIRF", "CTAO-North", "valid"]
    _code, out, errors = cli("search", "", "--columns", "model__name, absent", "--limit", "1")
    assert out.splitlines()[0] == "did\tbytes\tmodel__name\tabsent"
    assert len(out.splitlines()) == 2
    assert "1 of 2 files shown" in errors


def test_search_that_finds_nothing(cli):
    assert cli("search", "a = 1") == (0, "no file matches\n", "")
    assert cli("search", "a = 1", "--json") == (0, "[]\n", "")


def test_volume_and_metadata(cli, filled):
    did = next(iter(filled.values()))
    assert cli("volume", "test:/ctao.dpps.test/test/irfs")[1] == "2 files, 4000 bytes (4.0 kB)\n"
    assert json.loads(cli("volume", "irf__status = none", "--json")[1]) == {"files": 0, "bytes": 0}
    _code, out, _ = cli(
        "metadata", did, "--set", "irf__status=superseded", "--set", "n=7", "--json"
    )
    assert json.loads(out)[did]["irf__status"] == "superseded"
    assert json.loads(out)[did]["n"] == 7
    assert "  n = 7" in cli("metadata", did)[1].splitlines()
    assert len(json.loads(cli("search", "irf__status = valid", "--json")[1])) == 1


def test_stage_and_release(cli, products, tmp_path):
    assert cli("ingest", *products, "--rse", "TAPE")[0] == 0
    code, _, errors = cli("fetch", "data__type = GridIRF", "-o", "out")
    assert code == 1
    assert "on tape only (stage first: cta-batch lake stage)" in errors
    code, out, _ = cli("stage", "data__type = GridIRF", "--lifetime", "2d", "--json")
    request = json.loads(out)
    assert request["complete"]
    assert cli("fetch", "data__type = GridIRF", "-o", "out")[0] == 0
    (held,) = json.loads(cli("requests", "--json")[1])
    assert held["ids"] == request["ids"]
    assert cli("release", *request["ids"])[0] == 0
    assert cli("requests")[1] == "no request is held\n"
    assert cli("release", *request["ids"])[0] == 2


def test_verify(cli, filled, tmp_path):
    did = next(iter(filled.values()))
    assert cli("verify") == (0, "2 checked, 0 damaged, 0 unknown files\n", "")
    path = tmp_path / "lake" / "DISK" / "test" / did.split(":/")[1]
    path.write_bytes(b"damage")
    (path.parent / "stray").write_text("?")
    code, out, errors = cli("verify", "--clean", "--json")
    assert code == 1
    report = json.loads(out)
    assert report["faults"] == {did: "DISK: 6 bytes, registered are 2000"}
    assert [Path(name).name for name in report["orphans"]] == ["stray"]
    assert "1 of 2 are damaged" in errors
    assert not (path.parent / "stray").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "a = "], 2, "query, position 4"),
        (["ingest", "absent"], 2, "absent.meta.json: no such file"),
        (["fetch", "a = 1", "-o", "out"], 1, "no file matches"),
        (["fetch", "test:/no/such", "-o", "out"], 1, "the lake has no test:/no/such"),
        (["volume", "nonsense"], 2, "not a data identifier"),
        (["stage", "a = 1"], 2, "nothing to stage"),
        (["stage", "test:/x", "--lifetime", "0d"], 2, "--lifetime"),
        (["stage", "test:/x", "--rse", "TAPE"], 2, "TAPE is not a disk"),
        (["metadata", "test:/x", "--set", "a"], 2, "KEY=VALUE"),
        (["metadata", "test:/x", "--set", "bytes=1"], 2, "fixed column"),
        (["search", "", "--config", "absent.yaml"], 2, "absent.yaml"),
        (["ingest"], 2, "Missing argument"),
    ],
)
def test_mistakes(cli, arguments, code, message):
    found, out, errors = cli(*arguments)
    assert found == code
    assert message in errors
    assert "Traceback" not in errors
    assert out == ""


def test_section_of_the_configuration(cli, products, tmp_path):
    lake = {"scope": "user.alice", "vo": "cta", "local": {"folder": "elsewhere"}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"lake": lake}))
    code, out, errors = cli("ingest", *products, "--config", "my.yaml")
    assert code == 0, errors
    assert all(line.startswith("user.alice:/cta/user/a/alice/r1/") for line in out.splitlines())
    assert (tmp_path / "elsewhere" / "catalogue.sqlite").exists()
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"lake": {"folder": "x"}}))
    code, _, errors = cli("search", "", "--config", "my.yaml")
    assert code == 2
    assert "lake.folder" in errors


@pytest.mark.parametrize("command", [["search"], ["lake"], *(["lake", name] for name in COMMANDS)])
def test_help_has_an_example(command, capsys):
    run([*command, "--help"])
    out = capsys.readouterr().out
    assert "Usage: cta-batch " + " ".join(command) in out
    assert command == ["lake"] or f"cta-batch {' '.join(command)}" in out.split("Example")[1]


def test_table_and_bar_on_a_terminal(products, tmp_path):
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "from ctabatch.cli.main import run; run()"]
    environment = os.environ | {"COLUMNS": "200", "TERM": "xterm"}
    for arguments in (["lake", "ingest", *products], ["search", "data__level = DL3"]):
        with subprocess.Popen(
            [*command, *arguments], cwd=tmp_path, env=environment, stdout=follower, stderr=follower
        ) as process:
            assert process.wait() == 0
    os.close(follower)
    text = b""
    with suppress(OSError):  # that the other end is closed
        while block := os.read(leader, 65536):
            text += block
    os.close(leader)
    assert b"2/2" in text
    assert "└──".encode() in text
    assert b"CTAO-South" in text
