"""A published CTAO IRF passes, although it follows other conventions of normalisation."""

import numpy as np
import pytest
from astropy.io import fits

from ctabatch.irf.reading import open_irf
from ctabatch.irf.validation import validate
from require import require
from synthetic_irf import REQUEST

NAME = "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def published(test_data):
    require((test_data / NAME).is_file(), f"CTA_TEST_DATA holds no {NAME}")
    return test_data / NAME


def test_passes(published):
    report = validate(published)
    assert report.passed, report.summary()
    verdicts = {item.name: item for item in report.checks}
    convention = verdicts["normalisation_energy_dispersion"].details["convention"]
    assert convention == "probability in each bin"
    assert "SCALE" in verdicts["normalisation_psf"].details["convention"]
    skipped = [name for name, item in verdicts.items() if item.status == "skipped"]
    assert skipped == [
        "counts",
        "thrown_area",
        "precision_effective_area",
        "precision_background",
        "reference",
    ]
    assert all(verdicts[name].message.startswith("no ") for name in skipped)


def test_as_product_of_a_request_it_fails_the_strict_normalisation(published):
    names = {item.name for item in validate(published, request=REQUEST).failures}
    assert {"normalisation_energy_dispersion", "normalisation_psf", "counts"} <= names


@pytest.mark.parametrize(
    ("hdu", "column", "place", "factor", "name"),
    [
        ("ENERGY DISPERSION", "MATRIX", np.s_[0, :, 120], 1.2, "normalisation_energy_dispersion"),
        ("POINT SPREAD FUNCTION", "SCALE", np.s_[0, 8], 0.8, "normalisation_psf"),
        ("EFFECTIVE AREA", "EFFAREA", np.s_[0, 20], 2.0, "smoothness"),
        ("BACKGROUND", "BKG", np.s_[:], 0.0, "background"),
    ],
)
def test_damage_is_found_in_other_conventions_too(
    published, tmp_path, hdu, column, place, factor, name
):
    path = tmp_path / "damaged.fits"
    with fits.open(published) as hdus:
        hdus[hdu].data[column][0][place] *= factor
        hdus.writeto(path)
    assert [item.name for item in validate(path).failures] == [name]


def test_gammapy_objects_are_normalised(published):
    irf = open_irf(published)
    edisp = irf.gammapy["edisp"]
    width = np.diff(edisp.axes["migra"].edges.value)
    integral = (edisp.data * width[None, :, None]).sum(axis=1)
    filled = irf.components["edisp"].data.sum(axis=1) > 0
    np.testing.assert_allclose(integral[filled], 1, rtol=1e-4)
