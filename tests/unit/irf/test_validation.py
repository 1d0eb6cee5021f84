"""Damage an IRF in one way, and see exactly the right check fail and name the bin."""

import copy
import json

import numpy as np
import pytest
from astropy.io import fits

from ctabatch.config.validation import ValidationSettings
from ctabatch.errors import InputError
from ctabatch.irf.validation import CHECKS, validate
from ctabatch.irf.validation.coverage import decades
from ctabatch.simulation import DISCLAIMER
from synthetic_irf import REQUEST, THROWN, compress, make_irf

ALL = ["readable", *CHECKS]


@pytest.fixture(scope="module")
def good():
    return make_irf()


def check(irf, folder, request=REQUEST, thrown=THROWN, **options):
    path, benchmarks = irf.write(folder)
    return validate(path, request=request, benchmarks=benchmarks, thrown=thrown, **options)


def failures(report):
    return {item.name: item.message for item in report.failures}


def verdicts(report):
    return {item.name: item.status for item in report.checks}


def test_good_irf_passes_every_check(good, tmp_path):
    report = check(good, tmp_path)
    assert report.passed, report.summary()
    assert [item.name for item in report.checks] == ALL
    assert [name for name, status in verdicts(report).items() if status == "skipped"] == [
        "reference"
    ]
    assert report.disclaimer == DISCLAIMER


def aeff_nan(irf):
    irf.aeff[5, 1] = np.nan


def aeff_negative(irf):
    irf.aeff[13, 3] = -1.0


def aeff_spike(irf):
    irf.aeff[6, 0] *= 2.5


def aeff_dip(irf):
    irf.aeff[4, 1] *= 0.4


def aeff_too_large(irf):
    irf.aeff[14, 0] = 0.6 * np.pi * 1500**2


def edisp_infinite(irf):
    irf.edisp[5, 10, 1] = np.inf


def edisp_not_normalised(irf):
    irf.edisp[5, :, 1] *= 1.3


def edisp_empty_in_range(irf):
    irf.edisp[6, :, 0] = 0


def psf_not_normalised(irf):
    irf.psf[7, 0] *= 0.9


def psf_empty_in_range(irf):
    irf.psf[7, 1] = 0


def few_counts(irf):
    irf.counts[4, 0] = 3


def background_negative(irf):
    irf.background[3, 2] = -1e-9


def background_empty(irf):
    irf.background[:] = 0


def background_imprecise(irf):
    irf.background /= 200


def missing_edisp(irf):
    irf.drop = ("ENERGY DISPERSION",)


def missing_gamma_area(irf):
    irf.drop = ("EFFECTIVE AREA",)


def missing_background(irf):
    irf.drop = ("BACKGROUND",)


def wrong_version(irf):
    irf.headers = {"PSF": {"HDUVERS": "9.9"}}


@pytest.mark.parametrize(
    ("damage", "name", "words"),
    [
        (aeff_nan, "finite", ("EFFAREA", "energy 0.5 to 0.792 TeV, offset 1 to 2 deg", "nan")),
        (edisp_infinite, "finite", ("MATRIX", "migration", "offset 1 to 2 deg", "inf")),
        (aeff_negative, "signs", ("EFFAREA is negative", "energy 19.9 to 31.5 TeV, offset 3 to 4")),
        (background_negative, "signs", ("BKG is negative", "energy 0.199 to 0.315 TeV")),
        (
            edisp_not_normalised,
            "normalisation_energy_dispersion",
            ("energy 0.5 to 0.792 TeV, offset 1 to 2 deg (value 1.3)",),
        ),
        (
            psf_not_normalised,
            "normalisation_psf",
            ("energy 1.26 to 1.99 TeV, offset 0 to 1 deg (value 0.9)",),
        ),
        (aeff_spike, "smoothness", ("energy 0.792 to 1.26 TeV, offset 0 to 1 deg",)),
        (aeff_dip, "smoothness", ("energy 0.315 to 0.5 TeV, offset 1 to 2 deg",)),
        (
            aeff_too_large,
            "thrown_area",
            ("0.5 of the thrown area", "energy 31.5 to 50 TeV, offset 0 to 1 deg (value 0.6)"),
        ),
        (
            edisp_empty_in_range,
            "coverage",
            ("energy dispersion is empty", "energy 0.792 to 1.26 TeV, offset 0 to 1 deg"),
        ),
        (
            psf_empty_in_range,
            "coverage",
            ("point spread function is empty", "energy 1.26 to 1.99 TeV, offset 1 to 2 deg"),
        ),
        (few_counts, "counts", ("fewer than 10", "energy 0.315 to 0.5 TeV, offset 0 to 1 deg")),
        (background_empty, "background", ("BACKGROUND is empty",)),
        (background_imprecise, "precision_background", ("0.126 to 7.92 TeV", "events give")),
        (missing_edisp, "components", ("no HDU with HDUCLAS2 = EDISP", "the file has: EFFECTIVE")),
        (missing_gamma_area, "components", ("named 'EFFECTIVE AREA'", "EFFECTIVE AREA PROTONS")),
        (missing_background, "components", ("no HDU with HDUCLAS2 = BKG",)),
        (wrong_version, "gadf_schema", ("HDU 'PSF'", "HDUVERS")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_one_damage_fails_one_check(good, tmp_path, damage, name, words):
    irf = copy.deepcopy(good)
    damage(irf)
    report = check(irf, tmp_path)
    assert list(failures(report)) == [name]
    for word in words:
        assert word in failures(report)[name]
    assert "\n" not in report.summary()
    assert name in report.summary()


def test_empty_effective_area_in_range(good, tmp_path):
    irf = copy.deepcopy(good)
    irf.aeff[5, 0] = 0
    found = failures(check(irf, tmp_path))
    assert "effective area is empty" in found["coverage"]
    assert "energy 0.5 to 0.792 TeV, offset 0 to 1 deg" in found["precision_effective_area"]


def test_bins_without_events_outside_the_range_are_legitimate(good, tmp_path):
    irf = copy.deepcopy(good)
    irf.aeff[0, 3], irf.counts[0, 3] = 0, 0
    irf.edisp[0, :, 3], irf.psf[0, 3], irf.background[14, 3] = 0, 0, 0
    report = check(irf, tmp_path)
    assert report.passed, report.summary()


def test_all_bins_at_fault_are_counted(good, tmp_path):
    irf = copy.deepcopy(good)
    irf.edisp *= 1.2
    (failure,) = check(irf, tmp_path).failures
    assert failure.details["number"] == 60
    assert len(failure.details["bins"]) == 20
    assert "and 59 of 60 bins more" in failure.message


def test_precision_needs_enough_thrown_showers(good, tmp_path):
    thrown = copy.deepcopy(THROWN)
    thrown["gamma"]["showers"] //= 20
    report = check(good, tmp_path, thrown=thrown)
    assert list(failures(report)) == ["precision_effective_area"]
    details = report.failures[0].details
    assert details["bins"][0]["bin"].startswith("energy 5 to 7.92 TeV")
    # twenty times fewer showers: the square root of it less precise
    full = next(c for c in check(good, tmp_path).checks if c.name == "precision_effective_area")
    assert details["bins"][0]["value"] == pytest.approx(full.details["worst"] * 20**0.5)


def test_axes_must_cover_the_binning(good, tmp_path):
    wider = REQUEST.model_copy(
        update={"binning": REQUEST.binning.model_validate({"energy_max": "80 TeV"})}
    )
    found = failures(check(good, tmp_path, request=wider))
    assert list(found) == ["coverage"]
    assert "0.05 to 50 TeV do not cover binning 0.05 to 80 TeV" in found["coverage"]


def test_bins_must_join(good, tmp_path):
    path, benchmarks = good.write(tmp_path)
    with fits.open(path) as hdus:
        hdus["PSF"].data["RAD_LO"][0][5] += 0.0005
        hdus.writeto(path, overwrite=True)
    report = validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN)
    assert list(failures(report)) == ["axes"]
    assert "RAD" in failures(report)["axes"]


def test_gammapy_must_find_the_gamma_area_first(good, tmp_path):
    path, benchmarks = good.write(tmp_path)
    with fits.open(path) as hdus:
        order = ["PRIMARY", "EFFECTIVE AREA PROTONS", "EFFECTIVE AREA"]
        order += ["ENERGY DISPERSION", "PSF", "BACKGROUND"]
        fits.HDUList([hdus[name].copy() for name in order]).writeto(path, overwrite=True)
    report = validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN)
    assert list(failures(report)) == ["gammapy"]
    assert "EFFECTIVE AREA PROTONS" in failures(report)["gammapy"]


def test_wrong_unit_is_named(good, tmp_path):
    path, benchmarks = good.write(tmp_path)
    with fits.open(path) as hdus:
        hdus["EFFECTIVE AREA"].header["TUNIT5"] = "s"
        hdus.writeto(path, overwrite=True)
    found = failures(validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN))
    assert "column EFFAREA has unit 's'" in found["components"]
    assert "gadf_schema" in found


def test_products_of_a_request_need_the_numbers_of_the_production(good, tmp_path):
    path, _ = good.write(tmp_path)
    found = failures(validate(path, request=REQUEST))
    assert set(found) == {
        "counts",
        "thrown_area",
        "precision_effective_area",
        "precision_background",
    }
    assert "no benchmarks file" in found["counts"]
    published = validate(path)
    assert published.passed
    assert verdicts(published)["counts"] == "skipped"


def test_thrown_area_that_few_gammas_exceed_by_chance_passes(good, tmp_path):
    """0.55 of the thrown area, of some thirty gammas, is within two standard deviations of 0.5."""
    good.aeff[14, 0] = 0.55 * np.pi * 1500**2
    verdict = {}
    for showers in (1_000_000, 200_000_000):
        thrown = THROWN | {"gamma": THROWN["gamma"] | {"showers": showers}}
        subject = check(good, tmp_path, thrown=thrown)
        verdict[showers] = verdicts(subject)["thrown_area"]
    assert verdict == {1_000_000: "passed", 200_000_000: "failed"}


def test_damaged_benchmarks_fail(good, tmp_path):
    path, benchmarks = good.write(tmp_path)
    benchmarks.write_bytes(benchmarks.read_bytes()[:500])
    found = failures(validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN))
    assert "benchmarks-irf.fits.gz" in found["counts"]
    assert "\n" not in found["counts"]


def test_benchmarks_of_other_bins_fail(good, tmp_path):
    path, benchmarks = good.write(tmp_path)
    other = copy.deepcopy(good)
    other.offset = other.offset * 2
    other.write_benchmarks(tmp_path)
    found = failures(validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN))
    assert "other THETA bins" in found["counts"]


class TestReference:
    def settings(self, path, **options):
        return ValidationSettings(reference=str(path), **options)

    def test_agrees_with_itself(self, good, tmp_path):
        path, _ = good.write(tmp_path, "reference.fits.gz")
        report = check(good, tmp_path, settings=self.settings(path))
        assert verdicts(report)["reference"] == "passed"
        details = report.checks[-1].details
        assert details["largest_pull"] == pytest.approx(0, abs=1e-6)
        assert details["bins"] == 18

    def test_tells_another_instrument(self, good, tmp_path):
        path, _ = make_irf(0.1).write(tmp_path, "reference.fits.gz")
        report = check(good, tmp_path, settings=self.settings(path))
        assert list(failures(report)) == ["reference"]
        assert "reference.fits.gz" in failures(report)["reference"]

    @pytest.mark.parametrize("content", [b"", b"not a FITS file", b"SIMPLE  =  broken"])
    def test_not_fits_is_one_clear_line(self, good, tmp_path, content):
        path = tmp_path / "reference.fits.gz"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            check(good, tmp_path, settings=self.settings(path))
        assert str(caught.value).startswith("validation.reference: ")
        assert "FITS" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_absent(self, good, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            check(good, tmp_path, settings=self.settings(tmp_path / "none.fits"))


class TestUnreadableProduct:
    def report(self, path):
        report = validate(path, request=REQUEST, thrown=THROWN)
        assert list(failures(report)) == ["readable"]
        assert {v for k, v in verdicts(report).items() if k != "readable"} == {"skipped"}
        assert "\n" not in report.summary()
        return failures(report)["readable"]

    def test_truncated_gzip(self, good, tmp_path):
        path, _ = good.write(tmp_path)
        path.write_bytes(path.read_bytes()[:-3000])
        assert "truncated or corrupt gzip file" in self.report(path)

    def test_corrupt_gzip(self, good, tmp_path):
        path, _ = good.write(tmp_path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        assert "corrupt" in self.report(path)

    @pytest.mark.parametrize("keep", [0.35, 0.8, 0.99])
    def test_truncated_fits(self, good, tmp_path, keep):
        path, _ = good.write(tmp_path, "irf.fits")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        assert "FITS" in self.report(path) or "truncated" in self.report(path)

    def test_truncated_inside_gzip(self, good, tmp_path):
        path, _ = good.write(tmp_path, "irf.fits")
        path.write_bytes(path.read_bytes()[:-4000])
        packed = tmp_path / "irf.fits.gz"
        packed.write_bytes(compress(path))
        assert "truncated" in self.report(packed)

    def test_changed_byte_with_checksum(self, good, tmp_path):
        path = tmp_path / "irf.fits"
        good.hdus().writeto(path, checksum=True)
        content = bytearray(path.read_bytes())
        with fits.open(path) as hdus:
            content[hdus["PSF"].fileinfo()["datLoc"] + 2000] ^= 1
        path.write_bytes(content)
        assert "sum verification failed" in self.report(path)

    def test_absent(self, tmp_path):
        assert "does not exist" in self.report(tmp_path / "none.fits.gz")


def test_report_is_deterministic_json(good, tmp_path):
    irf = copy.deepcopy(good)
    aeff_nan(irf)
    path, benchmarks = irf.write(tmp_path)
    texts = {
        validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN).to_json()
        for _ in range(2)
    }
    (text,) = texts
    content = json.loads(text)
    assert content["passed"] is False
    assert content["disclaimer"] == DISCLAIMER
    finite = next(item for item in content["checks"] if item["name"] == "finite")
    assert finite["details"]["bins"][0]["value"] == "nan"
    assert str(tmp_path) not in text


def test_disclaimer_is_read_from_a_product_without_request(good, tmp_path):
    path, _ = good.write(tmp_path)
    assert validate(path).disclaimer is None
    with fits.open(path) as hdus:
        hdus[0].header["COMMENT"] = DISCLAIMER
        hdus.writeto(path, overwrite=True)
    assert validate(path).disclaimer == DISCLAIMER


def test_an_incomplete_last_decade_joins_its_neighbour():
    edges = 0.1 * 10 ** (np.arange(13) / 5)
    groups = decades(edges, np.ones(12, bool))
    assert [group.tolist() for group in groups] == [list(range(5)), list(range(5, 12))]
    used = np.arange(12) < 10
    groups = decades(edges, used)
    assert [group.tolist() for group in groups] == [list(range(5)), list(range(5, 10))]
    assert decades(edges, np.zeros(12, bool)) == []
