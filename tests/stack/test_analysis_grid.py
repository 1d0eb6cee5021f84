"""A PI's way on the real systems: login at the provider, DL3 in Rucio, basket, jobs on DIRAC."""

import json
import subprocess
from dataclasses import replace

import pytest
import yaml

from checkout import copy_checkout
from dl3_tools import AMPLITUDE, INDEX, TARGET, new_file, simulate
from grid_checkout import PATIENCE, GridCheckout
from iam_tools import CTA_BATCH, iam_settings, visit
from rucio_tools import lake_settings

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.xdist_group("rucio"),
]

IRF = "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"
FOLDER = "/ctao.dpps.test/dpps/grid-analysis"
MODEL = {
    "components": [
        {
            "name": "crab",
            "type": "SkyModel",
            "spectral": {
                "type": "PowerLawSpectralModel",
                "parameters": [
                    {"name": "index", "value": 2.0},
                    {"name": "amplitude", "value": 1e-11, "unit": "TeV-1 s-1 cm-2"},
                    {"name": "reference", "value": 1.0, "unit": "TeV", "frozen": True},
                ],
            },
        }
    ]
}


def request(lake, iam):
    """Configuration: the files in a basket, analysed in two groups."""
    analysis = {
        "name": "grid",
        "data": {"basket": "crab"},
        "target": {"lon": f"{TARGET.ra.deg} deg", "lat": f"{TARGET.dec.deg} deg"},
        "energy": {
            "reco": {"min": "1 TeV", "max": "30 TeV", "bins": 6},
            "true": {"min": "0.7 TeV", "max": "50 TeV", "bins": 12},
        },
        "models": {"candidates": {"pl": "pl.yaml"}, "source": "crab"},
        "products": {"flux_points": {"bins": 3}},
        "group_size": 1,
        "n_jobs": 1,
        "save": "download",
    }
    return {"analysis": analysis, "lake": lake, "iam": iam}


@pytest.fixture(scope="module")
def services(start_part, rucio, dirac9):
    """All of them; Rucio takes the tokens of pi as those of its account alice."""
    import rucio_part

    issuer = start_part("iam").env()["IAM_ISSUER"]
    rucio_part.trust(start_part("rucio"), "iam", issuer, {"pi": "alice"})
    return issuer, start_part("xrootd").env()


@pytest.fixture(scope="module")
def person(services, rucio, dirac9, test_data, tmp_path_factory):
    """A checkout of a PI who logged in and has a basket; the analysis ran on the grid and here."""
    from ctabatch.lake.rucio import RucioLake

    issuer, storage = services
    folder = tmp_path_factory.mktemp("pi")
    made = tmp_path_factory.mktemp("dl3")
    files = []
    for path in simulate(made, test_data / IRF, 2):
        item = new_file(path, proposal_id="P43", release_date="2099-01-01")
        files.append(replace(item, did=f"dpps:{FOLDER}/{path.name}"))
    RucioLake(lake_settings(rucio)).ingest(files)
    person = GridCheckout(folder, dirac9, storage)
    copy_checkout(folder)
    lake = lake_settings(rucio, account="alice", auth_type="oidc", login="lake", password_file=None)
    lake = lake.model_dump(mode="json", exclude_none=True)
    person.environment["XDG_STATE_HOME"] = str(folder / "home/state")
    (folder / "pl.yaml").write_text(yaml.safe_dump(MODEL))
    for name in ("grid", "here"):
        content = request(lake, iam_settings(issuer))
        content["analysis"]["name"] = name
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    config = ("--config", "grid.yaml")
    log_in(person)
    person.call(CTA_BATCH, "basket", "add", "--project", "P43", "--basket", "crab", *config)
    person.add()
    code, person.output = person.run("analysis", "--configfile", "grid.yaml")
    assert code == 0, person.output
    person.call("snakemake", "analysis", "--configfile", "here.yaml", "--cores", "2")
    return person


def log_in(person):
    """Run the command; a person follows the address that it prints."""
    with subprocess.Popen(
        [CTA_BATCH, "login", "escape", "--config", "grid.yaml"],
        cwd=person.folder,
        env=person.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = []
        while line := process.stdout.readline():
            lines.append(line)
            address = next((word for word in line.split() if word.startswith("http")), None)
            if address:
                visit(address, "pi")
                break
        rest = process.stdout.read()
    assert process.returncode == 0, "".join(lines) + rest


def read(person, name):
    return json.loads((person.folder / "results/analysis" / name).read_text())


def test_numbers_are_those_of_this_machine_and_of_the_source(person):
    grid, here = read(person, "grid/summary.json"), read(person, "here/summary.json")
    for key in ("observations", "on_region", "parameters", "flux_points"):
        assert grid[key] == here[key]
    values = {row["name"]: row for row in grid["parameters"]}
    index, amplitude = values["index"], values["amplitude"]
    assert abs(index["value"] - INDEX) < 4 * index["error"]
    assert abs(amplitude["value"] - float(AMPLITUDE.split()[0])) < 4 * amplitude["error"]


def test_jobs_ran_on_the_grid(person, dirac9):
    assert "DIRAC: submitted" in person.output
    assert dirac9["DIRAC9_SITE"] in person.output
    assert "analysis_reduce" in person.output


def test_report_is_here_and_nothing_is_left(person):
    assert (person.folder / "results/analysis/grid/report.html").stat().st_size > 10_000
    assert read(person, "grid/released.json")["checked"] is True
    assert not list(person.stored("results/analysis/grid/cache").glob("*"))
