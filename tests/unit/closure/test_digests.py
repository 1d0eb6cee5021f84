"""Digests of what a chain made."""

import json

import numpy as np
import pytest

from ctabatch.closure.digests import differences, digests_of, read_digests
from ctabatch.config.load import parse_config
from ctabatch.errors import InputError
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake
from reprocessing_lake import irf_metadata

SUMMARY = {
    "on_region": {"counts": 3},
    "best": "pl",
    "parameters": [{"name": "index", "value": 2.0}],
    "integral_flux": None,
    "flux_points": [],
    "light_curve": [],
}


def write_tables(path, value, date):
    """A FITS file with one table; the date in its header does not count."""
    from astropy.io import fits

    column = fits.Column("X", "D", array=np.array([value, 2.0]))
    table = fits.BinTableHDU.from_columns([column], name="DATA")
    table.header["DATE"] = date
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)


@pytest.fixture
def make_chain(tmp_path):
    """Makes the results of a chain of one seed; returns its digests."""

    def make(name, value=1.0, summary=SUMMARY, date="2026-01-01"):
        folder = tmp_path / name
        write_tables(folder / "irf/demo/a.fits.gz", value, date)
        write_tables(folder / "new/obs.fits", value, date)
        lake = open_lake(
            parse_config(
                {"lake": {"backend": "local", "local": {"folder": str(folder / "lake")}}}
            ).lake
        )
        did = f"test:/{name}/obs.fits"
        lake.ingest([NewFile(folder / "new/obs.fits", did, irf_metadata())])
        analysis = folder / "analysis/fit-seed-0007"
        analysis.mkdir(parents=True)
        (analysis / "summary.json").write_text(json.dumps(summary | {"gammapy": name}))
        return digests_of(lake, folder, {"irf": "demo", "analysis": "fit"}, {7: did})

    return make


def test_same_content_has_the_same_digests(make_chain):
    one, two = make_chain("one"), make_chain("two", date="2027-01-01")
    assert sorted(one) == ["DL3 seed-0007", "IRF a.fits.gz", "analysis seed-0007"]
    assert one == two
    assert differences(one, two) == []


def test_other_content_is_named(make_chain):
    one, two = make_chain("one"), make_chain("two", value=1.5)
    assert differences(two, one) == ["IRF a.fits.gz: other content", "DL3 seed-0007: other content"]
    changed = SUMMARY | {"on_region": {"counts": 4}}
    assert differences(make_chain("three", summary=changed), one) == [
        "analysis seed-0007: other content"
    ]
    assert differences(one, {}) == [f"{name}: not there" for name in one]


@pytest.mark.parametrize("content", [None, "[]", "{", '{"seeds": []}'])
def test_a_file_without_digests(tmp_path, content):
    path = tmp_path / "summary.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"--compare: .*summary\.json"):
        read_digests(path)
