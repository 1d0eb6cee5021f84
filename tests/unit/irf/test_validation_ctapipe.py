"""Tables written by ctapipe's own makers, from lists of events, are understood as they are."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from pyirf.simulations import SimulatedEventsInfo
from traitlets.config import Config

from ctabatch.irf.performance import angular_resolution, energy_resolution
from ctabatch.irf.reading import open_irf
from ctabatch.irf.validation import validate
from ctabatch.irf.validation.numbers import background_events
from ctabatch.irf.validation.subject import Subject
from synthetic_irf import REQUEST, THROWN

AREA = 2.5e5
CONFIG = Config(
    {
        f"Default{kind}EnergyBins": {
            f"{kind.lower()}_energy_min": 0.05 * u.TeV,
            f"{kind.lower()}_energy_max": 50 * u.TeV,
            f"{kind.lower()}_energy_n_bins_per_decade": 5,
        }
        for kind in ("True", "Reco")
    }
    | {
        "DefaultFoVOffsetBins": {
            "fov_offset_min": 0 * u.deg,
            "fov_offset_max": 4 * u.deg,
            "fov_offset_n_bins": 4,
        }
    }
)


def draw(particle, number, random):
    """Selected events of a flat effective area; `number` are thrown."""
    sample = THROWN[particle]
    area = np.pi * sample["scatter_radius_m"] ** 2
    kept = random.binomial(number, AREA / area)
    low, high = 1 / sample["energy_min_TeV"], 1 / sample["energy_max_TeV"]
    energy = 1 / random.uniform(high, low, kept)
    cone = np.cos(np.radians(sample["view_cone_deg"]))
    offset = np.degrees(np.arccos(random.uniform(cone, 1, kept)))
    return QTable(
        {
            "true_energy": energy * u.TeV,
            "reco_energy": energy * random.normal(1, 0.15, kept).clip(0.3, 3) * u.TeV,
            "true_source_fov_offset": offset * u.deg,
            "reco_source_fov_offset": offset * u.deg,
            "theta": random.rayleigh(0.08, kept) * u.deg,
            "weight": np.full(kept, 25.0),
        }
    )


def simulated(particle, number):
    sample = THROWN[particle]
    return SimulatedEventsInfo(
        n_showers=number,
        energy_min=sample["energy_min_TeV"] * u.TeV,
        energy_max=sample["energy_max_TeV"] * u.TeV,
        max_impact=sample["scatter_radius_m"] * u.m,
        spectral_index=-2,
        viewcone_min=0 * u.deg,
        viewcone_max=sample["view_cone_deg"] * u.deg,
    )


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    from ctapipe.irf import (
        BackgroundRate2dMaker,
        EffectiveArea2dMaker,
        EnergyBiasResolution2dMaker,
        EnergyDispersion2dMaker,
        PSF3DMaker,
        Sensitivity2dMaker,
        Spectra,
    )

    folder = tmp_path_factory.mktemp("ctapipe")
    random = np.random.default_rng(5)
    thrown = {"gamma": 40_000_000, "proton": 4_000_000}
    gammas, protons = (draw(name, number, random) for name, number in thrown.items())
    area = EffectiveArea2dMaker(config=CONFIG)
    options = {"spatial_selection_applied": False, "signal_is_point_like": False}
    time = REQUEST.observation_time
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            area(gammas, sim_info=simulated("gamma", thrown["gamma"]), **options),
            EnergyDispersion2dMaker(config=CONFIG)(gammas, spatial_selection_applied=False),
            PSF3DMaker(config=CONFIG)(gammas),
            BackgroundRate2dMaker(config=CONFIG)(protons, time),
            area(
                protons,
                sim_info=simulated("proton", thrown["proton"]),
                extname="EFFECTIVE AREA PROTONS",
                **options,
            ),
        ]
    ).writeto(folder / "irf.fits.gz")
    cuts = QTable({"center": [0.01, 100] * u.TeV, "cut": [0.2, 0.1] * u.deg})
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            EnergyBiasResolution2dMaker(config=CONFIG)(gammas),
            Sensitivity2dMaker(config=CONFIG)(gammas, protons, cuts, Spectra.CRAB_HEGRA),
        ]
    ).writeto(folder / "benchmarks.fits.gz")
    samples = {name: THROWN[name] | {"showers": number} for name, number in thrown.items()}
    return folder / "irf.fits.gz", folder / "benchmarks.fits.gz", samples, protons


def test_passes_every_check(production):
    path, benchmarks, thrown, _ = production
    report = validate(path, request=REQUEST, benchmarks=benchmarks, thrown=thrown)
    assert report.passed, report.summary()
    assert [c.name for c in report.checks if c.status == "skipped"] == ["reference"]


def test_effective_area_and_its_uncertainty_are_those_of_the_events(production):
    path, benchmarks, thrown, _ = production
    subject = Subject(open_irf(path), REQUEST.precision, None, REQUEST, benchmarks, thrown)
    area = subject.component("aeff")
    inside = subject.in_range(area)
    thrown_in_bins = subject.thrown_in_bins("gamma", area)
    # the selected gammas of ctapipe's benchmarks, found again from area and thrown showers
    expected = area.data / subject.thrown_area("gamma") * thrown_in_bins
    np.testing.assert_allclose(expected[inside], subject.counts[inside], rtol=1e-6)
    pull = (area.data - AREA) / AREA * np.sqrt(subject.counts)
    assert np.abs(pull[inside]).max() < 4


def test_background_events_are_counted(production):
    path, benchmarks, _, protons = production
    irf = open_irf(path)
    component = irf.components["bkg"]
    subject = Subject(irf, REQUEST.precision, None, REQUEST, benchmarks)
    events = background_events(subject, component)
    counted, _, _ = np.histogram2d(
        protons["reco_energy"].to_value("TeV"),
        protons["reco_source_fov_offset"].to_value("deg"),
        [component.edges["ENERG"], component.edges["THETA"]],
    )
    np.testing.assert_allclose(events, counted, rtol=1e-6, atol=1e-9)
    assert counted.sum() > 1000


def test_resolutions_are_those_of_the_events(production):
    irf = open_irf(production[0])
    _, resolution = energy_resolution(irf.components["edisp"])
    radius = angular_resolution(irf.components["psf"])
    np.testing.assert_allclose(resolution[2:8, :2], 0.15, rtol=0.25)
    np.testing.assert_allclose(radius[2:8, :2], 1.51 * 0.08, rtol=0.1)
