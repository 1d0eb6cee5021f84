"""Which IRF, and which models, an observation is reconstructed with."""

import pytest

from ctabatch.config.load import parse_section
from ctabatch.config.matching import MatchingSettings
from ctabatch.errors import InputError
from ctabatch.irf.matching import Conditions, find_irfs, find_models, match_irf
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake

OBSERVATION = {
    "instance__obs_id": 42,
    "instance__site_id": "CTAO-North",
    "obs__subarray": "CTAO-North",
    "obs__zenith_deg": 22.5,
    "obs__azimuth_deg": 170.0,
    "obs__nsb": 1.1,
}


def irf(name, **changes):
    row = {
        "did": f"test:/irf/{name}",
        "instance__site_id": "CTAO-North",
        "irf__subarray": "CTAO-North",
        "irf__zenith_deg": 20.0,
        "irf__azimuth_deg": 180.0,
        "irf__nsb": "dark",
        "simulation__node__nsb_factor": 1.0,
        "irf__simulator": "openiact",
        "software__ctapipe": "0.32.0",
        "creation_time": "2026-01-01T00:00:00.000",
    }
    return row | changes


def match(*rows, observation=None, software=None, **settings):
    wanted = Conditions.of_observation(OBSERVATION | (observation or {}))
    return match_irf(rows, wanted, MatchingSettings(**settings), software=software)


def test_nearest_in_zenith():
    found = match(irf("a"), irf("b", irf__zenith_deg=24.0), irf("c", irf__zenith_deg=40.0))
    assert found.did == "test:/irf/b"
    assert found.differences["zenith_deg"] == pytest.approx(1.5)
    assert 0 < found.distance < 1


def test_distances_count_in_units_of_their_limits():
    """4 deg of zenith are nearly the limit, 30 deg of azimuth are a third of it."""
    near_zenith = irf("a", irf__zenith_deg=22.5, irf__azimuth_deg=140.0)
    near_azimuth = irf("b", irf__zenith_deg=26.5, irf__azimuth_deg=170.0)
    assert match(near_azimuth, near_zenith).did == "test:/irf/a"
    assert match(near_azimuth, near_zenith, azimuth="31 deg", zenith="20 deg").did == "test:/irf/b"


def test_azimuth_is_compared_across_north():
    north = irf("north", irf__azimuth_deg=0.0)
    found = match(irf("south"), north, observation={"obs__azimuth_deg": 350.0})
    assert found.did == "test:/irf/north"
    assert found.differences["azimuth_deg"] == pytest.approx(10)


def test_azimuth_means_nothing_at_the_zenith():
    overhead = irf("a", irf__zenith_deg=1.0, irf__azimuth_deg=0.0)
    found = match(overhead, observation={"obs__zenith_deg": 2.0, "obs__azimuth_deg": 180.0})
    assert found.differences["azimuth_deg"] == 0


def test_newest_of_equals_and_then_the_last_did():
    old, new = irf("z"), irf("a", creation_time="2026-03-01T00:00:00.000")
    assert match(new, old).did == "test:/irf/a"
    assert match(irf("a"), irf("b")).did == match(irf("b"), irf("a")).did == "test:/irf/b"


def test_nearness_goes_before_newness():
    new = irf("new", irf__zenith_deg=25.0, creation_time="2026-09-01T00:00:00.000")
    assert match(irf("old", irf__zenith_deg=22.0), new).did == "test:/irf/old"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"irf__zenith_deg": 40.0}, "zenith 17.5 deg away, limit 5 deg"),
        ({"irf__azimuth_deg": 0.0}, "azimuth 170 deg away, limit 90 deg"),
        ({"simulation__node__nsb_factor": 5.0, "irf__nsb": "halfmoon"}, "NSB halfmoon differs by"),
        ({"instance__site_id": "CTAO-South"}, "site CTAO-South, not CTAO-North"),
        ({"irf__subarray": "North-4LST"}, "subarray North-4LST, not CTAO-North"),
        ({"software__ctapipe": "0.31.0"}, r"ctapipe 0\.31\.0, not 0\.32\.0"),
        ({"irf__simulator": "corsika-simtel"}, "simulator corsika-simtel, not openiact"),
    ],
)
def test_no_fitting_irf_says_how_far_each_is(changes, words):
    with pytest.raises(InputError, match=f"no valid IRF .*observation 42 .*zenith 22.5.*{words}"):
        match(irf("a", **changes), software={"ctapipe": "0.32.0"}, simulator="openiact")


def test_empty_lake():
    with pytest.raises(InputError, match="there is none at all"):
        match()


def test_nsb_by_name():
    dark, moon = irf("dark"), irf("moon", irf__nsb="halfmoon", simulation__node__nsb_factor=5.0)
    assert match(dark, moon, observation={"obs__nsb": "halfmoon"}).did == "test:/irf/moon"
    with pytest.raises(InputError, match="NSB dark, not fullmoon"):
        match(dark, observation={"obs__nsb": "fullmoon"})


@pytest.mark.parametrize("key", ["obs__zenith_deg", "obs__subarray", "instance__site_id"])
def test_observation_without_a_key(key):
    metadata = {name: value for name, value in OBSERVATION.items() if name != key}
    with pytest.raises(InputError, match=f"observation 42 has no metadata key {key}"):
        Conditions.of_observation(metadata)


def test_observation_with_text_for_a_number():
    with pytest.raises(InputError, match="obs__zenith_deg = 'low'"):
        Conditions.of_observation(OBSERVATION | {"obs__zenith_deg": "low"})


def test_limits_are_checked():
    with pytest.raises(InputError, match="zenith"):
        parse_section(MatchingSettings, {"zenith": "5 m"}, "test")


@pytest.fixture
def lake(config, tmp_path):
    """A lake with a valid IRF and its models, and an invalid revision of both."""
    opened = open_lake(config.lake)
    for release, status in (("one", "invalid"), ("one-r2", "valid")):
        common = {
            "irf__request_digest": "d1",
            "irf__status": status,
            "curation__release": release,
        }
        extra = {"irf.fits": {"data__type": "GridIRF", "irf__variant": "nominal"}}
        for kind in ("energy", "classifier", "cuts"):
            extra[f"{kind}.pkl"] = {"data__type": "RecoModel", "models__kind": kind}
        files = []
        for name, keys in extra.items():
            path = tmp_path / f"{release}-{name}"
            path.write_text(release + name)
            files.append(NewFile(path, f"test:/ctao.dpps.test/{release}/{name}", common | keys))
        opened.ingest(files)
    return opened


def test_models_of_the_same_revision_are_found(lake):
    (row,) = find_irfs(lake)
    models = find_models(lake, row)
    assert list(models) == ["energy", "classifier", "cuts"]
    assert all("/one-r2/" in item["did"] for item in models.values())
    assert all(item["adler32"] for item in models.values())


def test_missing_model_is_named(lake):
    (row,) = find_irfs(lake)
    lake.set_metadata({find_models(lake, row)["cuts"]["did"]: {"irf__status": "invalid"}})
    with pytest.raises(InputError, match="no valid model cuts of the IRF"):
        find_models(lake, row)
