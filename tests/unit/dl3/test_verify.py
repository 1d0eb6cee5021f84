"""Damage a DL3 file in one way, and see the right check fail and say why."""

import json
import re
import shutil

import numpy as np
import pytest
from astropy.io import fits

from ctabatch.checks import FAILED, PASSED, SKIPPED
from ctabatch.cli.main import run
from ctabatch.dl3.observation import Observation
from ctabatch.dl3.verification import CHECKS, Limits, verify, verify_files
from ctabatch.errors import InputError
from ctabatch.lake.metadata import sidecar_of
from require import require


@pytest.fixture(scope="module")
def known(inputs):
    return Observation.read(inputs.observation)


def failures(report):
    return {check.name: check.message for check in report.failures}


def verdicts(report):
    return {check.name: check.status for check in report.checks}


def test_good_file_passes_every_check(product, known):
    report = verify(product, known)
    assert set(verdicts(report).values()) == {PASSED}, report.summary()
    assert list(verdicts(report)) == ["readable", *CHECKS]
    assert report.passed


def test_without_metadata_some_checks_are_skipped_and_said_so(product):
    report = verify(product)
    skipped = [name for name, status in verdicts(report).items() if status == SKIPPED]
    assert skipped == ["observation", "event_count"]
    assert report.passed


def test_same_file_gives_same_result(product, known):
    assert verify(product, known).to_dict() == verify(product, known).to_dict()


def rows(name, change):
    """Make a function that changes the rows of a table."""

    def damage(hdus):
        old = hdus[name]
        data = change(old.data.copy())
        hdus[name] = fits.BinTableHDU(data, old.header, name=name)
        for key in ("CHECKSUM", "DATASUM"):
            hdus[name].header.pop(key, None)

    return damage


def values(name, column, change):
    def damage(data):
        data[column] = change(np.array(data[column]))
        return data

    return rows(name, damage)


def cards(name, **changes):
    def damage(hdus):
        for key, value in changes.items():
            if value is None:
                hdus[name].header.remove(key)
            else:
                hdus[name].header[key] = value

    return damage


def drop(name):
    return lambda hdus: fits.HDUList([hdu for hdu in hdus if hdu.name != name])


def put(index, value):
    def change(column):
        column[index] = value
        return column

    return change


def swap(column):
    column[[10, 11]] = column[[11, 10]]
    return column


DAMAGES = {
    "components": [
        (drop("GTI"), "0 tables GTI"),
        (drop("POINTING"), "0 tables POINTING"),
        (drop("PSF"), "0 HDUs with the point spread function"),
        (lambda h: fits.HDUList([*h, h["BACKGROUND"].copy()]), "2 HDUs with the background"),
    ],
    "gadf_schema": [
        (cards("EVENTS", HDUDOC=None), "HDUDOC"),
        (cards("GTI", TIMEREF=None), "TIMEREF"),
        (cards("EVENTS", RADECSYS=None), "RADECSYS"),
    ],
    "gammapy": [
        (cards("EVENTS", MJDREFI=None), "MJDREFI"),
        (values("EFFECTIVE AREA", "EFFAREA", lambda v: 0 * v), "maximum entry of effective area"),
    ],
    "producer": [(cards("EVENTS", CREATOR=None), "no CREATOR")],
    "observation": [
        (cards("EVENTS", OBS_ID=5), "OBS_ID is 5"),
        (cards("EVENTS", OBJECT="Other"), "OBJECT is 'Other'"),
    ],
    "event_ids": [(values("EVENTS", "EVENT_ID", lambda v: put(3, v[2])(v)), "there twice")],
    "finite": [
        (values("EVENTS", "RA", put(4, np.nan)), "RA of event .* is nan"),
        (values("EVENTS", "DEC", put(4, 91.0)), "DEC of event .* is 91"),
        (values("EVENTS", "ENERGY", put(4, -1.0)), "ENERGY of event .* is -1"),
        (values("EVENTS", "ENERGY", put(4, 0.0)), "ENERGY of event .* is 0"),
    ],
    "monotonic_times": [
        (values("EVENTS", "TIME", swap), "before the one in front"),
        (values("EVENTS", "TIME", put(0, np.nan)), "not finite"),
    ],
    "times_in_gti": [
        (values("EVENTS", "TIME", lambda v: put(-1, v[-1] + 100)(v)), "is in no GTI"),
        (values("GTI", "STOP", lambda v: v + 10), "GTIs span"),
        (values("GTI", "STOP", lambda v: v - 100), "does not end after it starts"),
        (cards("GTI", MJDREFI=50000), "MJDREFI of GTI is 50000"),
    ],
    "livetime": [
        (cards("EVENTS", LIVETIME=61.0), "LIVETIME is 61 s"),
        (cards("EVENTS", ONTIME=50.0), "GTIs last 60 s"),
        (cards("EVENTS", DEADC=0.5), "DEADC is 0.5"),
        (cards("EVENTS", LIVETIME=50.0, DEADC=50 / 60), "DL0 says 59.8 s"),
        (cards("EVENTS", LIVETIME=None), "has no LIVETIME"),
    ],
    "event_count": [
        (cards("EVENTS", NTRIG=1999), "made of 1999 events"),
        (cards("EVENTS", NTRIG=None), "has no NTRIG"),
        (rows("EVENTS", lambda data: data[:0]), "no event"),
    ],
    "pointing": [
        (cards("EVENTS", ALT_PNT=10.0), "zenith angle 80.00 deg"),
        (cards("EVENTS", RA_PNT=70.0), "POINTING leaves"),
        (values("POINTING", "ALT_PNT", lambda v: v - 50), "beyond a zenith angle"),
        (values("EVENTS", "DEC", put(4, -40.0)), "deg from the pointing"),
        (rows("POINTING", lambda data: data[:1]), "less than two rows"),
    ],
    "coordinates": [(values("EVENTS", "RA", lambda v: v + 0.001), "arcsec from ALT, AZ")],
    "irf_values": [
        (values("EFFECTIVE AREA", "EFFAREA", lambda v: v - 1e9), "negative"),
        (values("PSF", "RPSF", lambda v: v * np.nan), "no numbers"),
    ],
    "irf_validity": [
        (cards("PRIMARY", IRFZEN=40.0), "IRF for zenith 40 deg"),
        (cards("PRIMARY", IRFAZ=0.0), "IRF for azimuth 0 deg"),
        (cards("PRIMARY", IRFZEN=None), "does not say"),
        (cards("PRIMARY", IRFSITE="CTAO-South"), "IRF of CTAO-South"),
    ],
}


@pytest.mark.parametrize(
    ("check", "number"), [(name, i) for name, items in DAMAGES.items() for i in range(len(items))]
)
def test_damage_fails_its_check(check, number, damaged, known):
    change, message = DAMAGES[check][number]
    report = verify(damaged(change), known)
    assert not report.passed
    assert check in failures(report), report.summary()
    assert re.search(message, failures(report)[check]), failures(report)[check]


def test_every_check_has_a_damage():
    assert set(DAMAGES) | {"checksum"} == set(CHECKS)


def test_wrong_checksum(product, known, tmp_path):
    path = tmp_path / "flipped.fits"
    with fits.open(product) as hdus:
        hdus.writeto(path, checksum=True)
    data = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        place = hdus["EVENTS"].fileinfo()["datLoc"]
    data[place + 100] ^= 1
    path.write_bytes(data)
    assert "verification failed" in failures(verify(path, known))["checksum"]


def test_no_checksum(product, known, tmp_path):
    path = tmp_path / "bare.fits"
    with fits.open(product) as hdus:
        bare = fits.HDUList([hdu.copy() for hdu in hdus])
        for hdu in bare:
            hdu.header.pop("CHECKSUM", None)
            hdu.header.pop("DATASUM", None)
        bare.writeto(path)
    assert "has no checksum" in failures(verify(path, known))["checksum"]


@pytest.mark.parametrize("kind", ["absent", "truncated", "text"])
def test_unreadable_file_fails_and_skips_the_rest(kind, product, tmp_path):
    path = tmp_path / "out.dl3.fits.gz"
    if kind == "truncated":
        path.write_bytes(product.read_bytes()[:2000])
    elif kind == "text":
        path.write_text("hello")
    report = verify(path)
    assert set(failures(report)) == {"readable"}
    assert not report.passed


def test_sidecar_of_another_file_fails(product, known, tmp_path):
    path = tmp_path / product.name
    shutil.copy(product, path)
    shutil.copy(sidecar_of(product), sidecar_of(path))
    assert verify(path, known).passed
    path.write_bytes(path.read_bytes() + b"\0")
    assert "producer" in failures(verify(path, known))


def test_limits(product, known):
    assert "pointing" in failures(verify(product, known, Limits(zenith=10)))
    assert "irf_validity" in failures(verify(product, known, Limits(irf_azimuth=0.5)))


def test_fault_in_a_check_fails_it(product, known, monkeypatch):
    monkeypatch.setitem(CHECKS, "finite", lambda subject: 1 / 0)
    assert "ZeroDivisionError" in failures(verify(product, known))["finite"]


def test_several_files_each_with_its_observation(product, known, damaged):
    other = damaged(cards("EVENTS", OBS_ID=5))
    result = verify_files([product, other], [known])
    assert [item["passed"] for item in result["files"]] == [True, False]
    assert not result["passed"]
    with pytest.raises(InputError, match="given twice"):
        verify_files([product], [known, known])


def test_command_writes_the_result(product, inputs, tmp_path, capsys):
    output = tmp_path / "verification.json"
    given = ["--observation", str(inputs.observation), "--output", str(output)]
    run_quietly(["dl3", "verify", str(product), *given], 0)
    assert "passed   irf_validity" in capsys.readouterr().out
    content = json.loads(output.read_text())
    assert content["passed"]
    assert content["files"][0]["checks"][0]["name"] == "readable"


def test_command_fails_and_still_writes(product, tmp_path, capsys):
    output = tmp_path / "verification.json"
    given = ["--max-zenith", "5", "--output", str(output)]
    run_quietly(["dl3", "verify", str(product), *given], 1)
    assert "did not pass its checks" in capsys.readouterr().err
    assert not json.loads(output.read_text())["passed"]
    run_quietly(["dl3", "verify", str(product), *given, "--report-only"], 0)


def run_quietly(arguments, code):
    if code == 0:
        return run(arguments)
    with pytest.raises(SystemExit) as stopped:
        run(arguments)
    assert stopped.value.code == code


@pytest.mark.data
def test_file_of_the_data_challenge(test_data):
    """What a real file of the first data challenge lacks is known, and nothing else fails."""
    path = test_data / "cta-1dc/data/baseline/gps/gps_baseline_110380.fits"
    require(path.is_file(), f"{path} is absent")
    report = verify(path)
    assert {name for name, status in verdicts(report).items() if status == FAILED} == {
        "checksum", "components", "gadf_schema", "gammapy", "producer", "monotonic_times",
        "times_in_gti", "irf_values", "irf_validity",
    }  # fmt: skip
    assert {name for name, status in verdicts(report).items() if status == PASSED} == {
        "readable", "event_ids", "finite", "livetime",
    }  # fmt: skip
    assert "HDUCLASS" in failures(report)["gadf_schema"]
    assert "event 840 of the list" in failures(report)["monotonic_times"]
