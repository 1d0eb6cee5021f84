"""Numbers shown in plots, and the plots themselves."""

import copy
import logging

import astropy.units as u
import numpy as np
import pytest

from ctabatch.irf.performance import (
    angular_resolution,
    background_rate,
    energy_resolution,
    sensitivity,
)
from ctabatch.irf.plots import make_plots
from ctabatch.irf.reading import open_irf
from ctabatch.irf.validation.numbers import background_events
from ctabatch.irf.validation.subject import Subject
from require import require
from synthetic_irf import REQUEST, make_irf

NAMES = ["effective_area", "energy_dispersion", "psf", "background", "sensitivity"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("irf")
    irf = make_irf()
    return irf, *irf.write(folder)


def test_resolutions_are_those_that_were_drawn(files):
    irf, path, _ = files
    opened = open_irf(path)
    energy = opened.components["edisp"].centers("ENERG")
    bias, resolution = energy_resolution(opened.components["edisp"])
    np.testing.assert_allclose(resolution[2:9, 0], 0.1 + 0.05 / np.sqrt(energy[2:9]), rtol=0.3)
    assert np.abs(bias[2:9, 0]).max() < 0.04
    radius = angular_resolution(opened.components["psf"])
    sigma = 0.06 * (energy**-0.5 + 0.4)
    # 68 % of a symmetric Gaussian in two dimensions: 1.51 sigma
    np.testing.assert_allclose(radius[2:9, 0], 1.51 * sigma[2:9], rtol=0.1)
    rate = background_rate(opened.components["bkg"], 0, 1)
    expected = (irf.background[:, 0] / u.Unit("MeV s sr")).to_value("TeV-1 s-1 deg-2")
    np.testing.assert_allclose(rate, expected, rtol=1e-6)


def test_empty_rows_have_no_resolution(files, tmp_path):
    irf = copy.deepcopy(files[0])
    irf.edisp[3, :, 1], irf.psf[3, 1] = 0, 0
    path, _ = irf.write(tmp_path)
    opened = open_irf(path)
    empty = np.zeros((15, 4), bool)
    empty[3, 1] = True
    assert (np.isnan(energy_resolution(opened.components["edisp"])[0]) == empty).all()
    assert (np.isnan(angular_resolution(opened.components["psf"])) == empty).all()


def test_background_events_are_recovered_from_rate_and_weights(files):
    irf, path, benchmarks = files
    opened = open_irf(path)
    subject = Subject(opened, REQUEST.precision, None, REQUEST, benchmarks)
    events = background_events(subject, opened.components["bkg"])
    np.testing.assert_allclose(events, irf.background_counts, rtol=1e-6)


@pytest.mark.data
def test_sensitivity_of_a_published_irf(test_data):
    path = test_data / "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"
    require(path.is_file(), f"CTA_TEST_DATA holds no {path.name}")
    energy, flux = sensitivity(open_irf(path))
    at_1_tev = flux[np.argmin(np.abs(energy - 1))]
    # CTAO gives about 2e-13 erg / (cm2 s) for the northern alpha configuration, 50 h
    assert 1e-13 < at_1_tev < 4e-13
    assert flux[np.argmin(np.abs(energy - 0.05))] > 5 * at_1_tev


def test_all_plots_are_drawn_and_reproducible(files, tmp_path):
    _, path, benchmarks = files
    other, _ = make_irf(0.8, seed=3).write(tmp_path, "irf-other.fits.gz")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "stale.png").touch()

    def draw():
        written = make_plots(
            {"nominal": path, "throughput": other},
            tmp_path / "plots",
            reference=other,
            benchmarks={"nominal": benchmarks},
            notice="approximate",
        )
        return {item.stem: item.read_bytes() for item in written}

    first = draw()
    assert list(first) == NAMES
    assert all(content.startswith(b"\x89PNG") for content in first.values())
    assert all(len(content) < 300_000 for content in first.values())
    assert sorted(item.stem for item in (tmp_path / "plots").iterdir()) == sorted(NAMES)
    assert draw() == first


def test_damaged_irfs_are_drawn_as_far_as_possible(files, tmp_path, caplog):
    irf = copy.deepcopy(files[0])
    irf.drop = ("BACKGROUND",)
    path, benchmarks = irf.write(tmp_path)
    broken = tmp_path / "broken.fits.gz"
    broken.write_bytes(path.read_bytes()[:2000])
    benchmarks.write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        written = make_plots(
            {"nominal": path, "broken": broken},
            tmp_path / "plots",
            benchmarks={"nominal": benchmarks},
        )
    assert [item.stem for item in written] == ["effective_area", "energy_dispersion", "psf"]
    assert "broken.fits.gz" in caplog.text
    assert "benchmarks-irf.fits.gz" in caplog.text


def test_nothing_readable_gives_an_empty_folder(tmp_path):
    assert make_plots({"nominal": tmp_path / "none.fits"}, tmp_path / "plots") == []
    assert list((tmp_path / "plots").iterdir()) == []
