"""Saving of results: each release has sidecars of its own."""

from ctabatch.analysis.save import describe_product
from ctabatch.config.load import parse_config
from ctabatch.lake.metadata import read_sidecar

PLAN = {
    "name": "test",
    "digest": "ab" * 32,
    "revision": 1,
    "site": "CTAO-North",
    "request": {"models": {"source": "crab"}},
    "created": "2026-01-20T00:00:00",
    "disclaimer": None,
    "software": {"gammapy": "2.1"},
    "observations": [{"did": "test:/v/test/1.fits", "livetime_s": 60.0, "project": "P1"}],
}


def test_same_bytes_in_a_later_release_get_a_new_sidecar(tmp_path):
    config, path = parse_config({}), tmp_path / "summary.json"
    path.write_text("{}")
    first = describe_product(config, PLAN, path)
    number = read_sidecar(path).flat()["instance__id"]
    assert "/analysis-test-abababababab/" in first.did
    # once more for the same release, as after a kill: the same product
    assert describe_product(config, PLAN, path).did == first.did
    assert read_sidecar(path).flat()["instance__id"] == number
    later = describe_product(config, PLAN | {"revision": 2}, path)
    assert "/analysis-test-abababababab-r2/" in later.did
    assert read_sidecar(path).flat()["instance__id"] != number
