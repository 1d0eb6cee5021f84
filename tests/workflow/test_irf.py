"""The IRF workflow as a person runs it: request, product, data lake, report, and again."""

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tour import play

# the first waits for the production, which another process may be making
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

RESULTS = Path("results/irf/small")


def read(checkout, name):
    return json.loads((checkout.folder / RESULTS / name).read_text())


def test_guided_tour_shows_what_is_printed(production):
    command = "snakemake irf --workflow-profile profiles/local --configfile config/test/irf.yaml"
    play(production, "An IRF", {command: production.first})


def test_products_load_in_gammapy_and_name_their_maker(production):
    from astropy.io import fits
    from gammapy.irf import load_irf_dict_from_file

    summary = read(production, "summary.json")
    assert set(summary["products"]) == {"nominal", "throughput-low"}
    for item in summary["products"].values():
        path = production.folder / item["file"]
        irfs = load_irf_dict_from_file(path)
        assert set(irfs) >= {"aeff", "edisp", "psf", "bkg"}
        header = fits.getheader(path)
        assert header["DATATYPE"] == "GridIRF"
        assert "open simulator" in str(header["COMMENT"])


def test_lower_throughput_gives_a_smaller_effective_area_at_threshold(production):
    from gammapy.irf import load_irf_dict_from_file

    areas = {}
    for name, item in read(production, "summary.json")["products"].items():
        aeff = load_irf_dict_from_file(production.folder / item["file"])["aeff"]
        areas[name] = aeff.data.sum()
    assert areas["throughput-low"] != areas["nominal"]


def test_secrets_of_the_environment_are_written_nowhere(production):
    secret = production.environment["MY_TOKEN"].encode()
    files = [path for path in production.folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if secret in path.read_bytes()] == []
    assert secret.decode() not in production.first


def test_search_finds_the_products(production):
    done = production.run(
        "cta-batch",
        "search",
        "data__type = GridIRF and irf__variant = nominal",
        "--json",
        "--config",
        "config/test/irf.yaml",
    )
    rows = json.loads(done.stdout)
    assert len(rows) == 1
    assert rows[0]["irf__request_digest"] == read(production, "plan.json")["digest"]
    assert rows[0]["did"] == read(production, "ingest.json")["products"]["nominal"]


def test_models_go_into_the_lake_with_the_irf(production):
    """They are found by the IRF's metadata, under names of their own, and are the files used."""
    from ctabatch.lake.checksum import digest

    done = production.run(
        "cta-batch", "search", "data__type = RecoModel", "--json", "--config",
        "config/test/irf.yaml",
    )  # fmt: skip
    rows = {row["models__kind"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"energy", "classifier", "cuts"}
    models = {"energy": "energy.pkl", "classifier": "classifier.pkl", "cuts": "cuts.fits"}
    for kind, row in rows.items():
        assert row["irf__request_digest"] == read(production, "plan.json")["digest"]
        assert row["did"] == read(production, "ingest.json")["models"][kind]
        path = production.folder / RESULTS / "models" / models[kind]
        assert row["adler32"] == digest(path).adler32


def test_closing_summary_names_product_lake_cost_and_honesty(production):
    out = production.first
    for word in ("product", "in lake", "report", "CPU hours", "Approximate"):
        assert word in out


def test_report_is_complete_and_self_contained(production):
    text = (production.folder / RESULTS / "report.html").read_text()
    assert "data:image/png;base64" in text
    assert "Approximate" in text
    assert read(production, "ingest.json")["products"]["nominal"] in text
    assert "<script src" not in text


def test_snakemake_report_has_the_captions(production):
    production.snakemake("irf", "--report", "snakemake-report.zip")
    assert (production.folder / "snakemake-report.zip").stat().st_size > 10_000


def test_every_run_has_its_own_events(production):
    logs = sorted((production.folder / RESULTS / "logs" / "process").glob("*.log"))
    plan = read(production, "plan.json")
    runs = sum(
        numbers["runs"]
        for particles in plan["production"].values()
        for samples in particles.values()
        for numbers in samples.values()
    )
    assert len(logs) == runs


def test_temporary_files_are_gone(production):
    assert not list((production.folder / RESULTS / "runs").rglob("*.h5"))
    assert not list((production.folder / RESULTS / "dl2").rglob("*.h5"))


def test_second_run_simulates_nothing(production):
    done = production.snakemake("irf")
    assert "irf_process" not in done.stderr
    assert "irf process" not in done.stderr
    assert "product" in done.stdout


def test_same_request_by_another_person_is_fetched(production):
    """Results are gone, the name is another: the product comes from the lake."""
    config = production.folder / "another.yaml"
    text = (production.folder / "config/test/irf.yaml").read_text()
    config.write_text("# my request\n" + text.replace("name: small", "name: another"))
    done = production.snakemake("irf", config="another.yaml")
    assert "nothing was simulated" in done.stdout
    fetched = json.loads((production.folder / "results/irf/another/fetched.json").read_text())
    for path in fetched["files"]:
        original = production.folder / RESULTS / Path(path).name
        assert (production.folder / path).read_bytes() == original.read_bytes()
    assert not (production.folder / "results/irf/another/runs").exists()


def test_same_request_made_by_two_at_once_is_in_the_lake_once(production):
    """Whose ingest is later finds that the other's products stand for the own ones."""
    folder = production.folder / "theirs"
    shutil.copytree(production.folder / RESULTS, folder)
    name = read(production, "plan.json")["products"]["nominal"]
    product = folder / f"{name}.fits.gz"
    production.run(
        "cta-batch", "irf", "product", "--config", "config/test/irf.yaml", "--plan",
        folder / "plan.json", "--variant", "nominal", "--irf", production.folder / RESULTS /
        product.name, "--output", product,
    )  # fmt: skip
    command = (
        "cta-batch", "irf", "ingest", "--config", "config/test/irf.yaml", "--plan",
        folder / "plan.json", "--validation", folder / "validation.json", "--output",
        folder / "again.json",
    )  # fmt: skip
    done = production.run(*command)
    assert "somebody else made the same request meanwhile" in done.stdout
    result = json.loads((folder / "again.json").read_text())
    mine = json.loads((production.folder / RESULTS / "ingest.json").read_text())
    assert result["products"] == mine["products"]
    assert not result["registered"]

    sidecar = product.with_name(product.name + ".meta.json")
    digest = re.search(r'"irf__content_digest": "(\w+)"', sidecar.read_text())[1]
    sidecar.write_text(sidecar.read_text().replace(digest, "0" * 64))
    done = production.run(*command, check=False)
    assert done.returncode == 1
    assert "exists with other content" in done.stderr


def test_failed_check_stops_the_ingest(production):
    """Stricter thresholds fail the same product; nothing new enters the lake."""
    folder = production.folder / "strict"
    shutil.copytree(production.folder / RESULTS, folder)
    validation = json.loads((folder / "validation.json").read_text())
    check = validation["variants"]["nominal"]["checks"][0]
    check["status"], check["message"] = "failed", "bin 1 to 2 TeV is bad"
    validation["passed"] = validation["variants"]["nominal"]["passed"] = False
    (folder / "validation.json").write_text(json.dumps(validation))
    done = production.run(
        "cta-batch", "irf", "ingest", "--config", "config/test/irf.yaml",
        "--plan", folder / "plan.json", "--validation", folder / "validation.json",
        "--output", folder / "again.json",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "not ingested" in done.stderr
    assert "bin 1 to 2 TeV is bad" in done.stderr
    assert not (folder / "again.json").exists()


def test_killed_simulator_is_completed_by_a_rerun(new_checkout, production):
    """Killed with SIGKILL while it simulates: no product in the lake; the rerun goes on."""
    checkout = new_checkout()
    shutil.copytree(production.folder / RESULTS, checkout.folder / RESULTS)
    models = ["models/energy.pkl", "models/classifier.pkl", "models/cuts.fits"]
    for path in (checkout.folder / RESULTS).rglob("*"):
        if path.is_file() and not any(str(path).endswith(name) for name in models):
            path.unlink()
    command = ["snakemake", f"{RESULTS}/runs/nominal_electron_irf/1.dl2.h5"]
    options = ["--workflow-profile", "profiles/local", "--configfile", "config/test/irf.yaml"]
    process = subprocess.Popen(
        command + options,
        cwd=checkout.folder,
        env=checkout.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = checkout.folder / RESULTS / "logs/process/nominal_electron_irf-1.log"
    for _ in range(600):
        if log.exists() and log.stat().st_size > 0:
            break
        time.sleep(0.2)
    assert log.exists()
    subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (checkout.folder / "lake").exists() or not json.loads(
        checkout.run("cta-batch", "search", "data__type = GridIRF", "--json").stdout
    )
    checkout.run("snakemake", *options, "--unlock")
    checkout.run(*command, *options, "--notemp")
    import tables

    with tables.open_file(checkout.folder / RESULTS / "runs/nominal_electron_irf/1.dl2.h5") as file:
        assert len(file.root.simulation.event.subarray.shower) > 0
