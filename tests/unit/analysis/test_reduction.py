"""Transfer, reduction and fit of simulated observations: numbers, and what happens to bad ones."""

import gzip
import json
import tarfile
from pathlib import Path

import pytest
from astropy.io import fits

import dl3_tools
from ctabatch.analysis.fit import FitFailed, require_convergence
from ctabatch.analysis.plan import make_plan, write_plan
from ctabatch.analysis.reduce import reduce_group
from ctabatch.analysis.save import save
from ctabatch.analysis.settings import new_workflow
from ctabatch.analysis.steps import products
from ctabatch.analysis.transfer import release, transfer
from ctabatch.config.load import parse_config
from ctabatch.errors import BatchError
from ctabatch.files import read_json
from ctabatch.lake.open import open_lake

PLAN = Path("r/plan.json")


def prepare(content):
    """Plan and transfer; returns the configuration."""
    config = parse_config(content)
    plan = make_plan(config)
    write_plan(plan, PLAN)
    for group in range(plan["groups"]):
        transfer(config, PLAN, group, Path(f"r/cache/{group}.tar"))
    return config


def reduce():
    return reduce_group(PLAN, 0, Path("r/cache/0.tar"), Path("r/reduced/0.tar"))


def test_spectrum_is_that_of_the_simulation(simulated, content, ingest, run_steps):
    ingest(simulated)
    content["analysis"]["group_size"] = 5
    _, fit, reduced = run_steps(content)
    assert len(reduced) == 2
    facts = read_json("r/stacked.json")
    assert len(facts["observations"]) == 10
    assert fit["best"] == "pl"
    assert fit["detected"]
    values = {row["name"]: row for row in fit["candidates"]["pl"]["parameters"]}
    # two simulated observations stand in five copies each: the errors are those of two
    for name, true in (("index", dl3_tools.INDEX), ("amplitude", 5e-11)):
        assert abs(values[name]["value"] - true) < 4 * 5**0.5 * values[name]["error"]
    summary = products(
        PLAN, Path("r/stacked.fits.gz"), Path("r/fit.json"), reduced, Path("r/products.tar")
    )
    assert len(summary["light_curve"]) == 10
    times = [row["time_min"] for row in summary["light_curve"]]
    assert times == sorted(times)
    assert len(summary["flux_points"]) == 2
    total = sum(row["counts"] for row in facts["observations"])
    assert summary["on_region"]["counts"] == total
    with tarfile.open("r/products.tar") as tar:
        names = set(tar.getnames())
    assert names >= {"stacked.fits.gz", "models.yaml", "flux-points.fits", "light-curve.fits",
                     "theta2.ecsv", "summary.json", "plot-spectrum.png", "plot-light_curve.png",
                     "plot-counts.png", "plot-theta2.png"}  # fmt: skip


def test_nights_of_a_light_curve_do_not_depend_on_groups(simulated, content, ingest, run_steps):
    ingest(simulated[:4])
    content["analysis"]["products"] = {
        "light_curve": {"interval": "night"}, "flux_points": None, "theta2": None
    }  # fmt: skip
    content["analysis"]["group_size"] = 1
    _, _, reduced = run_steps(content)
    assert len(reduced) == 4
    summary = products(
        PLAN, Path("r/stacked.fits.gz"), Path("r/fit.json"), reduced, Path("r/products.tar")
    )
    assert len(summary["light_curve"]) == 1
    assert summary["light_curve"][0]["flux"] == pytest.approx(
        summary["integral_flux"]["flux"], rel=0.05
    )


def test_far_observation_is_neither_transferred_nor_reduced(simulated, content, ingest):
    ingest(simulated[:1])
    ingest(simulated[1:2], obs__dec_deg=52.0)
    prepare(content)
    with tarfile.open("r/cache/0.tar") as tar:
        assert tar.getnames() == ["failed.json", "obs_1.fits"]
    assert [row["obs_id"] for row in reduce()["observations"]] == [1]


def test_far_pointing_in_the_file_is_refused_before_the_reduction(
    simulated, content, ingest, monkeypatch
):
    """Metadata that lie about the pointing must not cost gigabytes."""
    ingest(simulated[:2])
    content["analysis"]["on_bad_observation"] = "skip"
    content["analysis"]["selection"] = {"offset_max": "2.5 deg"}
    path = Path("far.fits")
    with fits.open(simulated[2]) as hdus:
        hdus["EVENTS"].header["DEC_PNT"] = 52.0
        hdus.writeto(path)
    ingest([path], obs__dec_deg=22.5, obs__ra_deg=83.6)
    prepare(content)
    result = reduce()
    assert [row["obs_id"] for row in result["observations"]] == [1, 2]
    assert [item["obs_id"] for item in result["bad"]] == [3]
    assert "pointed 29.99 deg from the target according to the file" in result["bad"][0]["reason"]


@pytest.mark.parametrize("fault", ["truncated", "garbage", "no events", "events lost"])
def test_one_corrupt_file_of_ten(simulated, content, ingest, fault):
    """Named; the others go on only if the request allows it."""
    bad = Path("obs_11.fits")
    dl3_tools.clone(simulated[0], bad, 11, 4000.0)
    number = dl3_tools.metadata(bad)["dl3__events"]
    known = dl3_tools.metadata(bad)
    if fault == "truncated":
        bad.write_bytes(bad.read_bytes()[:9000])
    elif fault == "garbage":
        bad.write_bytes(b"not FITS " * 1000)
    else:
        with fits.open(bad) as hdus:
            keep = 0 if fault == "no events" else number // 2
            hdus["EVENTS"].data = hdus["EVENTS"].data[:keep]
            if fault == "no events":
                del hdus["EVENTS"]
            hdus.writeto(bad, overwrite=True)
    open_lake(parse_config({}).lake).ingest(
        [dl3_tools.NewFile(bad, "test:/ctao.dpps.test/test/sim/obs_11.fits", known)]
    )
    ingest(simulated[:3] if fault != "garbage" else simulated[:9])
    prepare(content)
    with pytest.raises(BatchError, match=r"observation 11 \(test:.*obs_11.fits\)") as caught:
        reduce()
    assert "on_bad_observation" in str(caught.value)
    assert not Path("r/reduced/0.tar").exists()
    content["analysis"]["on_bad_observation"] = "skip"
    Path("r/request.json").unlink()
    prepare(content)
    result = reduce()
    assert len(result["observations"]) == (3 if fault != "garbage" else 9)
    assert [item["obs_id"] for item in result["bad"]] == [11]


def test_corrupt_copy_and_vanished_file_are_found_at_the_transfer(simulated, content, ingest):
    dids = ingest(simulated[:3])
    config = parse_config(content)
    write_plan(make_plan(config), PLAN)
    copies = {copy.did: copy for copy in open_lake(config.lake).replicas(dids)}
    damaged = Path(copies[dids[1]].uri.removeprefix("file://"))
    data = bytearray(damaged.read_bytes())
    data[5000] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(data)
    with pytest.raises(BatchError, match=r"1 of 3 observations can't be transferred: 2 \(test:"):
        transfer(config, PLAN, 0, Path("r/cache/0.tar"))
    assert not Path("r/cache/0.tar").exists()
    content["analysis"]["on_bad_observation"] = "skip"
    config = parse_config(content)
    Path("r/request.json").unlink()
    write_plan(make_plan(config), PLAN)
    assert [item["obs_id"] for item in transfer(config, PLAN, 0, Path("r/cache/0.tar"))] == [2]
    result = reduce()
    assert [row["obs_id"] for row in result["observations"]] == [1, 3]
    assert [item["obs_id"] for item in result["bad"]] == [2]


def test_missing_irf_in_a_file(simulated, content, ingest):
    path = Path("obs_11.fits")
    with fits.open(simulated[0]) as hdus:
        kept = [hdu for hdu in hdus if "EDISP" not in str(hdu.header.get("HDUCLAS2", ""))]
        fits.HDUList(kept).writeto(path)
    ingest([path], dl3__events=None)
    prepare(content)
    with pytest.raises(BatchError, match="has no IRF: edisp missing"):
        reduce()


def test_no_off_region(simulated, content, ingest, run_steps):
    """Exclusion regions around leave no reflected region: named, and nothing crashes."""
    ingest(simulated[:2])
    ring = [{"lon": "83.633 deg", "lat": "22.014 deg", "radius": "3 deg"}]
    content["analysis"]["background"] = {"exclusion": ring}
    prepare(content)
    with pytest.raises(BatchError, match="has no off region"):
        reduce()
    content["analysis"]["on_bad_observation"] = "skip"
    Path("r/request.json").unlink()
    with pytest.raises(BatchError, match="none of 2 observations could be reduced"):
        run_steps(content)


def test_zero_excess_gives_upper_limits(empty_sky, content, ingest, run_steps):
    ingest(empty_sky)
    _, fit, reduced = run_steps(content)
    assert fit["converged"]
    assert not fit["detected"]
    assert fit["candidates"]["pl"]["frozen_shape"]
    summary = products(
        PLAN, Path("r/stacked.fits.gz"), Path("r/fit.json"), reduced, Path("r/products.tar")
    )
    limit = summary["integral_flux"]["flux_ul"]
    # 2 min on a hundredth of the Crab's flux or so; the limit is positive and below the Crab
    assert 0 < limit < 2.1e-11
    assert all(row["upper_limit"] for row in summary["flux_points"])


def test_fit_that_does_not_converge_is_reported_and_keeps_what_is_there(
    simulated, content, ingest, run_steps, monkeypatch
):
    """Minuit, given a few calls only, finds no minimum and says so."""
    ingest(simulated[:2])

    def few_calls(settings):
        workflow = new_workflow(settings)
        workflow.fit.optimize_opts = {"migrad_opts": {"ncall": 2}}
        return workflow

    monkeypatch.setattr("ctabatch.analysis.fit.new_workflow", few_calls)
    _, fit, reduced = run_steps(content)
    assert not fit["converged"]
    with pytest.raises(FitFailed, match=r"no candidate model converged .*Call limit") as caught:
        require_convergence(fit)
    assert caught.value.exit_code == 1
    summary = products(
        PLAN, Path("r/stacked.fits.gz"), Path("r/fit.json"), reduced, Path("r/products.tar")
    )
    assert summary["on_region"]["counts"] > 0
    assert summary["files"] == ["stacked.fits.gz", "theta2.ecsv"]
    with pytest.raises(FitFailed):
        save(parse_config(content), PLAN, Path("r/fit.json"), Path("r/saved.json"))
    assert not Path("r/saved.json").exists()


def test_tape_is_staged_and_given_up(simulated, content, ingest):
    lake = open_lake(parse_config({}).lake)
    lake.ingest([dl3_tools.new_file(path) for path in simulated[:2]], rse="TAPE")
    content["analysis"]["name"] = "tape"
    config = prepare(content)
    assert read_json(PLAN)["volume"]["on_tape"] == 2
    with tarfile.open("r/cache/0.tar") as tar:
        assert len(tar.getnames()) == 3
    assert lake.requests() == []
    # what a job leaves that is killed while it reduces
    half = Path("r/work/reduced/.0.9a3pew60")
    half.mkdir(parents=True)
    (half / "failed.json").write_text("{}")
    content = release(config, PLAN, Path("r/released.json"))
    assert content["cache_removed"] == ["0.tar"]
    assert content["half_written_removed"] == 1
    assert not half.exists()
    assert not Path("r/cache").exists()


def test_release_gives_up_what_a_killed_transfer_held(simulated, content, ingest, monkeypatch):
    lake = open_lake(parse_config({}).lake)
    lake.ingest([dl3_tools.new_file(path) for path in simulated[:1]], rse="TAPE")
    config = parse_config(content)
    write_plan(make_plan(config), PLAN)

    class Killed(BaseException):
        pass

    def killed(self, request):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(lake), "release", killed)
        with pytest.raises(Killed):
            transfer(config, PLAN, 0, Path("r/cache/0.tar"))
    held = [name for request in lake.requests() for name in request.ids]
    assert len(held) == 1
    assert release(config, PLAN, Path("r/released.json"))["requests_released"] == held
    assert lake.requests() == []


def test_damaged_archive_between_steps_is_named(simulated, content, ingest):
    ingest(simulated[:1])
    prepare(content)
    Path("r/cache/0.tar").write_bytes(gzip.compress(json.dumps({}).encode()))
    with pytest.raises(BatchError, match=r"r/cache/0\.tar can't be unpacked"):
        reduce()
