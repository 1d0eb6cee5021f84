"""Simulated observations: what arrives, DL0 files, and what ctapipe makes of them."""

import json
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from astropy.time import Time
from ctapipe.io import EventSource, TableLoader, read_table
from pyirf.spectral import CRAB_MAGIC_JHEAP2015, PowerLaw

from ctabatch.cli.main import run
from ctabatch.config.load import parse_config
from ctabatch.config.observation import SourceSpectrum
from ctabatch.dl3.observation import Observation
from ctabatch.errors import InputError
from ctabatch.lake.metadata import new_file, read_sidecar, sidecar_of
from ctabatch.simulation.dl0 import observe
from ctabatch.simulation.observation import ChunkSimulation, plan_observations
from ctabatch.simulation.primaries import altitude_azimuth
from ctabatch.simulation.spectra import Arrivals, describe_flux, source_flux
from ctabatch.sky import Track, earth_orientation

REPOSITORY = Path(__file__).parents[3]
TARGET = SkyCoord(67.6, 8.8, unit="deg")
#: A long observation with few events: the sky turns by 1.7 deg meanwhile.
SETTINGS = {
    "site": "CTAO-North",
    "subarray": "CTAO-North",
    "target": {"name": "Test source", "ra": "67.6 deg", "dec": "8.8 deg"},
    "start": "2026-01-15T22:00:00",
    "observations": 1,
    "duration": "400 s",
    "chunk": "200 s",
    "spectrum": {"scale": 2.0},
    "particles": {
        "gamma": {"energy_min": "1 TeV", "scatter_radius": "250 m"},
        "proton": {
            "energy_min": "50 TeV",
            "energy_max": "100 TeV",
            "view_cone": "1 deg",
            "scatter_radius": "250 m",
        },
        "electron": None,
    },
}


def configuration(**changes):
    return parse_config({"observation": {**SETTINGS, **changes}}, "test.yaml")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """The embedded conditions database goes to a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("XDG_DATA_HOME", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.chdir(REPOSITORY)
        yield folder


@pytest.fixture(scope="module")
def plan(home):
    return plan_observations(configuration())


@pytest.fixture(scope="module")
def files(plan, tmp_path_factory):
    """DL0 files of the observation; not to be changed."""
    return observe(plan, tmp_path_factory.mktemp("dl0"))


def test_integral_of_a_power_law():
    flux = PowerLaw(1e-11 / (u.TeV * u.cm**2 * u.s), -2.5, 1 * u.TeV)
    arrivals = Arrivals(flux, 0.1 * u.TeV, 10 * u.TeV)
    assert arrivals.integral == pytest.approx(1e-7 / 1.5 * (0.1**-1.5 - 10**-1.5), rel=1e-9)


def test_energies_follow_the_spectrum(rng):
    flux = source_flux(SourceSpectrum(scale=3.0))
    assert flux(2 * u.TeV).to_value("cm-2 s-1 TeV-1") == pytest.approx(
        3 * CRAB_MAGIC_JHEAP2015(2 * u.TeV).to_value("cm-2 s-1 TeV-1")
    )
    arrivals = Arrivals(flux, 0.1 * u.TeV, 50 * u.TeV)
    energy = arrivals.draw(rng, 200_000)
    assert energy.min() >= 0.1
    assert energy.max() <= 50
    for low, high in ((0.1, 0.2), (0.2, 1), (1, 5), (5, 50)):
        share = Arrivals(flux, low * u.TeV, high * u.TeV).integral / arrivals.integral
        found = np.mean((energy >= low) & (energy < high))
        assert abs(found - share) < 5 * np.sqrt(share / 200_000) + 1e-4


def test_spectrum_as_text():
    text = describe_flux(SourceSpectrum(scale=2.0))
    assert text == "6.46e-11 (E/1 TeV)^(-2.47 - 0.24 log10(E/1 TeV)) 1/(cm2 s TeV)"


def test_track_is_the_exact_direction():
    from ctabatch.simulation.instrument import make_subarray
    from ctabatch.simulation.subarrays import load_subarray

    location = make_subarray(load_subarray("CTAO-North")).reference_location
    start = Time("2026-01-15T22:00:00", scale="utc")
    # culminates in the north: azimuth passes 360 deg
    track = Track(67.6, 60.0, location, start, 1200)
    seconds = np.array([0.5, 333.3, 777.7, 1199.5])
    altitude, azimuth = track.at(seconds)
    with earth_orientation():
        exact = SkyCoord(67.6, 60.0, unit="deg").transform_to(
            AltAz(obstime=start + seconds * u.s, location=location)
        )
    found = SkyCoord(azimuth, altitude, unit="rad", frame=AltAz())
    wanted = SkyCoord(exact.az, exact.alt, frame=AltAz())
    assert found.separation(wanted).max() < 0.05 * u.arcsec


def test_chunks_and_wobble_positions():
    changes = {"observations": 3, "duration": "70 s", "chunk": "30 s", "pause": "10 s"}
    plan = plan_observations(configuration(**changes))
    chunks = plan.chunks()
    assert [(c.obs_id, c.number, c.of, c.seconds) for c in chunks[:4]] == [
        (1001, 1, 3, 30), (1001, 2, 3, 30), (1001, 3, 3, 10), (1002, 1, 3, 30),
    ]  # fmt: skip
    assert (chunks[3].start - chunks[0].start).total_seconds() == 80
    pointings = [SkyCoord(c.ra, c.dec, unit="deg") for c in chunks[::3]]
    assert [round(p.separation(TARGET).deg, 6) for p in pointings] == [0.5] * 3
    assert [round(TARGET.position_angle(p).deg) % 360 for p in pointings] == [0, 180, 0]


def test_what_changes_events_changes_the_digest(plan):
    assert plan_observations(configuration()).digest == plan.digest
    for changes in ({"seed": 2}, {"nsb": "halfmoon"}, {"start": "2026-01-15T22:00:01"}):
        assert plan_observations(configuration(**changes)).digest != plan.digest


def test_arrivals_are_those_of_the_flux():
    many = {
        "gamma": {"energy_min": "0.1 TeV"},
        "proton": {"energy_min": "6 TeV"},
        "electron": {"energy_min": "0.5 TeV"},
    }
    plan = plan_observations(configuration(particles=many))
    simulation = ChunkSimulation(plan, plan.chunks()[0])
    area = np.pi * 700**2 * 1e4
    expected = 2 * _integral(CRAB_MAGIC_JHEAP2015, 0.1, 50) * area * 200
    primaries, times = simulation.arrivals("gamma")
    assert abs(len(primaries) - expected) < 5 * np.sqrt(expected)
    # pyirf's proton spectrum: 9.8e-6 (E/TeV)^-2.62
    solid = 2 * np.pi * (1 - np.cos(np.deg2rad(2.5)))
    area = np.pi * 400**2 * 1e4
    expected = 9.8e-6 / 1.62 * (6**-1.62 - 100**-1.62) * area * solid * 200
    protons, _ = simulation.arrivals("proton")
    assert abs(len(protons) - expected) < 5 * np.sqrt(expected)
    away = _from_pointing(simulation, protons, _)
    assert away.max() <= 2.5 + 1e-6
    assert abs(np.mean(away < 2.5 / np.sqrt(2)) - 0.5) < 0.05
    # gamma rays come from the source, 0.5 deg from the pointing, at every time
    assert np.allclose(_from_pointing(simulation, primaries, times), 0.5, atol=1e-4)
    assert np.all(np.diff(times) >= 0)


def _integral(flux, low, high):
    energy = np.geomspace(low, high, 20_001)
    value = flux(energy * u.TeV).to_value("cm-2 s-1 TeV-1")
    return np.trapezoid(value, energy)


def _from_pointing(simulation, primaries, times):
    altitude, azimuth = altitude_azimuth(primaries.origin)
    seen = SkyCoord(azimuth, altitude, unit="rad", frame=AltAz())
    altitude, azimuth = simulation.pointing.at(times)
    return seen.separation(SkyCoord(azimuth, altitude, unit="rad", frame=AltAz())).deg


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subarray": "Nowhere"}, "there is no subarray 'Nowhere'"),
        ({"subarray": "CTAO-South"}, "stands at CTAO-South"),
        ({"start": "2026-01-15T12:00:00"}, "zenith angle of"),
        ({"start": "1990-01-15T22:00:00"}, "observation"),
    ],
)
def test_impossible_observations(changes, message):
    with pytest.raises(InputError, match=message):
        plan_observations(configuration(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "tomorrow"}, "observation.start: 'tomorrow' is no time"),
        ({"duration": "10 s", "chunk": "20 s"}, "is longer than duration"),
        ({"duration": "10.5 s"}, "whole seconds"),
        ({"spectrum": {"model": "power-law"}}, "needs curvature 0"),
        ({"wobble_angles": []}, "wobble_angles"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(InputError, match=message):
        configuration(**changes)


def test_configuration_without_observations():
    with pytest.raises(InputError, match="observation: is missing"):
        plan_observations(parse_config({}))


def test_sidecars_are_those_of_dl0(plan, files):
    assert [path.name for path in files] == [
        "dl0_evt_sub_AirShower_ob0000001001_chunk001.h5",
        "dl0_evt_sub_AirShower_ob0000001001_chunk002.h5",
    ]
    rows = [read_sidecar(path).flat() for path in files]
    first = rows[0]
    assert first["data__level"] == "DL0"
    assert first["instance__facility_name"] == "Simulated-CTAO"
    assert (first["obs__start"], first["obs__end"]) == (
        "2026-01-15T22:00:00", "2026-01-15T22:03:20",
    )  # fmt: skip
    assert (first["obs__chunk"], first["obs__chunks"]) == (1, 2)
    assert first["release_date"] == "2027-01-15"
    assert first["sim__gamma_energy_min_tev"] == 1.0
    assert first["sim__seed"] == 1
    assert "openiact" in first["disclaimer"]
    assert first["obs__triggers"] == first["sim__gamma_triggers"] + first["sim__proton_triggers"]
    observation = Observation.from_metadata(rows)
    assert observation.ontime == 400
    assert observation.livetime == pytest.approx(400 - observation.triggers * 1e-4)
    new = new_file(files[0], vo="ctao.dpps.test", scope="test")
    assert "/simulated-observations/CTAO-North/DL0/Event/" in new.did


def test_file_is_that_of_a_telescope_array(plan, files):
    ids, count = [], 0
    with EventSource(files[1]) as source:
        assert not source.is_simulation
        assert [level.name for level in source.datalevels] == ["R1"]
        block = source.observation_blocks[1001]
        assert block.subarray_pointing_frame.name == "ALTAZ"
        chunk = plan.chunks()[1]
        start = Time(chunk.start.replace(tzinfo=None), scale="utc")
        pointing = SkyCoord(chunk.ra, chunk.dec, unit="deg")
        times = []
        for event in source:
            count += 1
            ids.append(event.index.event_id)
            times.append((event.trigger.time - start).to_value("s"))
            assert len(event.r1.tel) == len(event.trigger.tels_with_trigger) >= 2
            tel_id = next(iter(event.r1.tel))
            r1 = event.r1.tel[tel_id]
            assert r1.waveform.shape[:2] == (1, 1855)
            assert np.isfinite(r1.waveform).all()
            with earth_orientation():
                frame = AltAz(obstime=event.trigger.time, location=plan.location)
                exact = pointing.transform_to(frame)
            seen = event.monitoring.tel[tel_id].pointing
            assert abs(seen.altitude - exact.alt) < 1 * u.arcsec
            assert abs(seen.azimuth - exact.az) < 2 * u.arcsec
    assert count == read_sidecar(files[1]).extra["obs__triggers"] > 5
    assert ids == sorted(ids)
    assert min(ids) == 10_000_001
    assert all(0 <= time <= 200 for time in times)
    assert times == sorted(times)


def test_same_settings_give_the_same_events(plan, files, tmp_path):
    again = observe(plan, tmp_path)
    for one, other in zip(files, again, strict=True):
        for path in ("/dl1/event/subarray/trigger", "/r1/event/telescope/tel_001"):
            first, second = read_table(one, path), read_table(other, path)
            assert list(first["event_id"]) == list(second["event_id"])
            if "waveform" in first.colnames:
                assert (first["waveform"] == second["waveform"]).all()
    kept = again[0].stat().st_mtime_ns
    again[1].write_bytes(b"broken")
    observe(plan, tmp_path)
    assert again[0].stat().st_mtime_ns == kept
    assert read_sidecar(again[1]).extra["obs__chunk"] == 2


def test_dead_time_swallows_events(files):
    plan = plan_observations(configuration(dead_time="1 s", spectrum={"scale": 50.0}))
    simulation = ChunkSimulation(plan, plan.chunks()[0])
    times = [time for time, _, _ in simulation.run()]
    assert simulation.counts.lost > 5
    assert np.diff(times).min() >= 1.0


def test_command(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    content = {**SETTINGS, "duration": "20 s", "chunk": "20 s", "start": "2026-01-15T22:00:00"}
    path.write_text(json.dumps({"observation": content}))
    run(["observe", "--config", str(path), "--output", str(tmp_path / "dl0")])
    line = capsys.readouterr().out.strip()
    assert "events, zenith 19.4 deg, live 19.99" in line
    made = next((tmp_path / "dl0").glob("*.h5"))
    assert sidecar_of(made).is_file()
    with pytest.raises(SystemExit) as stopped:
        run(["observe", "--config", str(path), "--output", str(tmp_path), "--obs-id", "7"])
    assert stopped.value.code == 2
    assert "has no observation 7" in capsys.readouterr().err


@pytest.mark.slow
def test_ctapipe_finds_the_source_where_it_is(files, tmp_path):
    """``ctapipe-process`` as the rule calls it; the sky turns by 0.8 deg within a file."""
    config = REPOSITORY / "config" / "pipeline" / "process.yaml"
    away, events = [], 0
    for path in files:
        output = tmp_path / f"{path.stem}.dl2.h5"
        command = [
            Path(sys.executable).with_name("ctapipe-process"), "--input", path, "--output", output,
            "--config", config, "--provenance-log", tmp_path / "provenance.log",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        with TableLoader(output) as loader:
            table = loader.read_subarray_events(dl2=True, observation_info=False)
            location = loader.subarray.reference_location
        events += len(table)
        table = table[table["HillasReconstructor_is_valid"]]
        with earth_orientation():
            frame = AltAz(obstime=table["time"], location=location)
            sky = SkyCoord(
                alt=table["HillasReconstructor_alt"],
                az=table["HillasReconstructor_az"],
                frame=frame,
            ).icrs
        away += list(sky.separation(TARGET).deg)
    truth = [read_sidecar(path).extra for path in files]
    assert events == sum(item["obs__triggers"] for item in truth)
    gammas = sum(item["sim__gamma_triggers"] for item in truth)
    near = np.array(away) < 0.15
    assert near.sum() > 0.7 * gammas, (sorted(away), gammas)
    assert np.median(np.array(away)[near]) < 0.08


def test_truncated_file_is_not_read(files, tmp_path):
    path = tmp_path / "half.h5"
    path.write_bytes(files[0].read_bytes()[: files[0].stat().st_size // 2])
    with pytest.raises(Exception, match=r"truncated|HDF5"):
        list(EventSource(path))
