"""What is in a DL3 file, and what is refused."""

import gzip
import json
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from click.testing import CliRunner
from ctapipe.io import TableLoader

from ctabatch.cli.dl3 import dl3
from ctabatch.cli.main import run
from ctabatch.dl3.times import to_seconds
from ctabatch.errors import BatchError, InputError
from ctabatch.lake.metadata import new_file, read_sidecar
from synthetic_dl2 import (
    CRITERIA,
    OBS_ID,
    POINTING,
    TARGET,
    make_dl2,
    observation_metadata,
    write_cuts,
)
from synthetic_irf import make_irf


def events_of(path):
    return QTable.read(path, hdu="EVENTS")


def test_file_holds_what_gadf_and_the_irf_ask_for(product, inputs):
    with fits.open(product, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == [
            "PRIMARY", "EVENTS", "GTI", "POINTING", "EFFECTIVE AREA", "ENERGY DISPERSION", "PSF",
            "BACKGROUND",
        ]  # fmt: skip
        header = hdus["EVENTS"].header
        assert header["HDUCLASS"] == "GADF"
        assert header["OBS_ID"] == OBS_ID
        assert header["TIMESYS"] == "TT"
        assert header["TSTOP"] - header["TSTART"] == pytest.approx(60, abs=1e-6)
        assert header["LIVETIME"] == pytest.approx(60 - 2000e-4)
        assert header["DEADC"] == pytest.approx(header["LIVETIME"] / header["ONTIME"])
        assert (header["RA_PNT"], header["DEC_PNT"]) == (POINTING.ra.deg, POINTING.dec.deg)
        assert (header["RA_OBJ"], header["DEC_OBJ"]) == (TARGET.ra.deg, TARGET.dec.deg)
        assert header["TELESCOP"] == "Simulated-CTAO"
        assert header["NTRIG"] == 2000
        assert header["ALTITUDE"] == pytest.approx(2156)
        primary = hdus[0].header
        assert primary["DATALEVL"] == "DL3"
        assert primary["IRFZEN"] == 19.4
        assert "openiact" in "".join(map(str, primary["COMMENT"]))
        with fits.open(inputs.irf) as irf:
            for name in ("EFFECTIVE AREA", "BACKGROUND"):
                assert hdus[name].data.tobytes() == irf[name].data.tobytes()


def test_times_are_seconds_since_the_reference_time():
    from astropy.time import Time

    # 2026-01-15T22:00:00 UTC is 37 + 32.184 s later in TT; J2000.0 is MJD 51544.5
    moment = Time("2026-01-15T22:00:00", scale="utc")
    expected = (61055 - 51544) * 86400 + 22 * 3600 + 69.184 - 43200
    assert to_seconds(moment) == pytest.approx(expected, abs=1e-6)


def test_events_are_those_of_criteria_and_cuts(product, inputs):
    with TableLoader(inputs.events[0]) as loader:
        table = loader.read_subarray_events(dl2=True)
    energy = table["RandomForestRegressor_energy"].quantity.to_value("TeV")
    wanted = (
        table["HillasReconstructor_is_valid"]
        & (table["RandomForestClassifier_prediction"] >= 0.6)
        & (energy >= 0.02)
        & (energy < 100)
    )
    wanted = np.asarray(wanted)
    events = events_of(product)
    assert list(events["EVENT_ID"]) == sorted(table["event_id"][wanted])
    assert 500 < len(events) < 700
    np.testing.assert_allclose(events["ENERGY"].to_value("TeV"), energy[wanted])
    np.testing.assert_allclose(
        events["ALT"].value, table["HillasReconstructor_alt"].quantity.to_value("deg")[wanted]
    )
    seconds = to_seconds(table["time"][wanted])
    assert np.abs(events["TIME"].to_value("s") - seconds).max() < 1e-6
    telescopes = table["HillasReconstructor_telescopes"].sum(axis=1)[wanted]
    assert list(events["MULTIP"]) == list(telescopes)


def test_gamma_rays_are_at_the_target_in_icrs(product):
    events = events_of(product)
    gamma = events[events["GAMMANESS"] > 0.75]
    away = SkyCoord(gamma["RA"], gamma["DEC"]).separation(TARGET).deg
    assert np.median(away) < 0.07


def test_cut_on_the_number_of_telescopes(inputs, tmp_path):
    cuts = write_cuts(tmp_path / "cuts.fits", least=5)
    inputs.create(tmp_path / "cut.dl3.fits.gz", cuts=cuts)
    events = events_of(tmp_path / "cut.dl3.fits.gz")
    assert events["MULTIP"].min() == 5


def test_events_outside_the_field_of_the_irf_are_left_out(inputs, tmp_path):
    made = make_dl2(2000)
    made.geometry["HillasReconstructor_alt"][::3] -= 5 * u.deg  # the gamma rays; the IRF ends at 4
    path = made.write(tmp_path / "far.dl2.h5")
    inputs.create(tmp_path / "far.dl3.fits.gz", events=[path])
    events = events_of(tmp_path / "far.dl3.fits.gz")
    away = SkyCoord(events["RA"], events["DEC"]).separation(POINTING).deg
    assert 0 < len(events) < 50
    assert away.max() <= 4


def test_size_of_chunks_changes_nothing(product, inputs, tmp_path):
    inputs.create(tmp_path / "small.dl3.fits", chunk_size=300)
    with fits.open(product) as one, fits.open(tmp_path / "small.dl3.fits") as other:
        for name in ("EVENTS", "GTI", "POINTING"):
            assert one[name].data.tobytes() == other[name].data.tobytes()


def test_compressed_file_holds_no_time(product):
    assert product.read_bytes()[4:8] == bytes(4)
    assert gzip.decompress(product.read_bytes())[:6] == b"SIMPLE"


def test_chunks_with_a_gap_give_two_intervals(inputs, tmp_path):
    spans = [("2026-01-15T22:00:00", 1, 300), ("2026-01-15T22:01:00", 3, 200)]
    paths, content = [], []
    for start, number, events in spans:
        made = make_dl2(events, start, 30, first_id=number * 1000, seed=number)
        paths.append(made.write(tmp_path / f"{number}.dl2.h5"))
        content.append(observation_metadata(events, start, 30, obs__chunk=number, obs__chunks=3))
    observation = tmp_path / "observation.json"
    observation.write_text(json.dumps(content))
    output = tmp_path / "gap.dl3.fits.gz"
    inputs.create(output, events=paths[::-1], observation=observation)
    with fits.open(output) as hdus:
        assert len(hdus["GTI"].data) == 2
        header = hdus["EVENTS"].header
        assert (header["ONTIME"], header["NTRIG"]) == (60, 500)
        assert header["LIVETIME"] == pytest.approx(60 - 500e-4)
        assert (np.diff(hdus["EVENTS"].data["TIME"]) > 0).all()


def test_sidecar_is_ready_for_the_lake(product, inputs):
    metadata = read_sidecar(product)
    flat = metadata.flat()
    assert flat["data__level"] == "DL3"
    assert flat["instance__obs_id"] == OBS_ID
    assert flat["instance__facility_name"] == "Simulated-CTAO"
    assert flat["proposal_id"] == "P42"
    assert flat["release_date"] == "2027-01-15"
    assert flat["obs__triggers"] == 2000
    assert flat["dl3__status"] == "valid"
    assert flat["dl3__producer"] == "openiact"
    assert flat["dl3__events"] == len(events_of(product))
    assert flat["dl3__irf"] == "test:/ctao.dpps.test/test/irf.fits.gz"
    assert flat["activity__inputs"] == inputs.metadata["instance__id"]
    new = new_file(product, vo="ctao.dpps.test", scope="test")
    assert new.did.endswith(f"/CTAO-North/DL3/Event/{product.name}")


def observation_of(**changes):
    return lambda inputs, folder: {
        "observation": inputs.write_observation(folder / "observation.json", **changes)
    }


def truncated(inputs, folder):
    path = folder / "half.dl2.h5"
    path.write_bytes(inputs.events[0].read_bytes()[: inputs.events[0].stat().st_size // 2])
    return {"events": [path]}


def without_classifier(inputs, folder):
    import tables

    path = shutil.copy(inputs.events[0], folder / "plain.dl2.h5")
    with tables.open_file(path, "a") as h5file:
        h5file.remove_node("/dl2/event/subarray/particle_type", recursive=True)
    return {"events": [path]}


def incomplete_irf(inputs, folder):
    irf = make_irf()
    irf.drop = ("PSF",)
    return {"irf": irf.write(folder)[0]}


def other_criteria(inputs, folder):
    more = [*CRITERIA, ("multiplicity", "np.count_nonzero(HillasReconstructor_telescopes) > 2")]
    return {"cuts": write_cuts(folder / "cuts.fits", criteria=more)}


def broken_select(inputs, folder):
    path = folder / "irf.yaml"
    path.write_text("DL2EventPreprocessor:\n  energy_reconstructor: 5\n")
    return {"select": path}


REFUSED = {
    "no events file": (
        lambda i, f: {"events": [f / "no.h5"]},
        InputError,
        "no.h5: no such file",
    ),
    "truncated": (truncated, InputError, "half.dl2.h5: can't be read as DL2"),
    "not hdf5": (
        lambda i, f: {"events": [i.cuts]},
        InputError,
        "cuts.fits: can't be read as DL2",
    ),
    "models not applied": (without_classifier, InputError, "RandomForestClassifier"),
    "file twice": (
        lambda i, f: {"events": i.events * 2},
        BatchError,
        "is there twice",
    ),
    "other observation": (
        observation_of(instance__obs_id=77),
        InputError,
        "events of observation 1001, not 77",
    ),
    "DL0 lost events": (observation_of(obs__triggers=2010), BatchError, "2010 triggers"),
    "live time": (observation_of(obs__livetime_s=58.0), BatchError, "DL0 states 58 s"),
    "time": (
        observation_of(obs__start="2026-01-15T22:00:10", obs__ontime_s=50.0, obs__livetime_s=49.8),
        BatchError,
        "selected events lie outside",
    ),
    "direction": (observation_of(obs__zenith_deg=40.0), BatchError, "contradict"),
    "classifier": (
        lambda i, f: {"cuts": write_cuts(f / "cuts.fits", classifier="Other")},
        InputError,
        "cuts on the score of 'Other'",
    ),
    "criteria": (other_criteria, InputError, "quality criteria .* differ"),
    "no cuts": (lambda i, f: {"cuts": f / "no.fits"}, InputError, "no.fits: no such file"),
    "cuts of another kind": (lambda i, f: {"cuts": i.irf}, InputError, "is no file of cuts"),
    "nothing selected": (
        lambda i, f: {"cuts": write_cuts(f / "cuts.fits", score=1.1)},
        BatchError,
        "none of 2000 events passes",
    ),
    "select": (broken_select, InputError, "energy_reconstructor"),
    "no irf": (lambda i, f: {"irf": f / "no.fits"}, InputError, "--irf: .*does not exist"),
    "incomplete irf": (incomplete_irf, InputError, "point spread function"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, inputs, tmp_path):
    change, kind, message = REFUSED[name]
    output = tmp_path / "made" / "out.dl3.fits.gz"
    with pytest.raises(kind, match=message) as caught:
        inputs.create(output, **change(inputs, tmp_path))
    assert "\n" not in str(caught.value)
    assert not output.parent.exists() or not list(output.parent.iterdir())


def arguments(inputs, output, *more):
    return [
        "create", "--events", *map(str, inputs.events), "--cuts", str(inputs.cuts), "--irf",
        str(inputs.irf), "--select", str(inputs.select), "--observation", str(inputs.observation),
        "--output", str(output), *more,
    ]  # fmt: skip


def test_command(inputs, tmp_path):
    lineage = tmp_path / "lineage.json"
    lineage.write_text('{"dl3__request_digest": "abc"}')
    output = tmp_path / "out.dl3.fits.gz"
    done = CliRunner().invoke(dl3, arguments(inputs, output, "--lineage", str(lineage)))
    assert done.exit_code == 0, done.output
    assert "events of observation 1001, live 59.8 s of 60 s" in done.output
    assert read_sidecar(output).flat()["dl3__request_digest"] == "abc"


def test_command_refuses_in_one_line(inputs, tmp_path, capsys):
    bad = inputs.write_observation(tmp_path / "bad.json", obs__start=None)
    given = arguments(inputs, tmp_path / "out.fits")
    given[given.index(str(inputs.observation))] = str(bad)
    with pytest.raises(SystemExit) as stopped:
        run(["dl3", *given])
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].endswith("bad.json: obs__start: is missing")


def test_nothing_of_the_events_is_lost_in_units(product):
    events = events_of(product)
    assert events["ENERGY"].unit == u.TeV
    assert events["RA"].unit == u.deg
    assert (events["RA"] >= 0 * u.deg).all()
