import copy

import pytest
import yaml

from ctabatch.config.load import parse_config, read_yaml
from ctabatch.errors import InputError
from ctabatch.irf.resolve import resolve


def digest_of(content):
    return resolve(parse_config(content)).digest


def test_spelling_of_units_key_order_and_names_do_not_matter(content):
    expected = digest_of(content)
    other = copy.deepcopy(content)
    other["irf"]["pointing"] = {"azimuth": "3.14159265 rad", "zenith": "0.349066 rad"}
    other["irf"]["observation_time"] = "180000 s"
    other["irf"]["name"] = "another"
    other["irf"] = dict(reversed(other["irf"].items()))
    other["limits"]["cpu_hours"] = 3
    assert digest_of(other) == expected


def test_comment_does_not_matter(checkout, content):
    expected = digest_of(content)
    path = checkout / "config" / "config.yaml"
    path.write_text("# another comment\n" + path.read_text())
    pipeline = checkout / "config" / "pipeline" / "process.yaml"
    pipeline.write_text(pipeline.read_text() + "\n# a comment\n")
    assert digest_of(read_yaml(path)) == expected


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("pointing", "zenith", "21 deg"),
        ("precision", "effective_area", 0.21),
        ("binning", "offset_bins", 3),
        (None, "nsb", "halfmoon"),
        (None, "systematics", []),
        (None, "observation_time", "5 h"),
    ],
)
def test_what_changes_the_product_changes_the_digest(content, section, key, value):
    expected = digest_of(content)
    part = content["irf"][section] if section else content["irf"]
    part[key] = value
    assert digest_of(content) != expected


def test_pipeline_settings_change_the_digest(checkout, content):
    expected = digest_of(content)
    path = checkout / "config" / "pipeline" / "process.yaml"
    path.write_text(
        path.read_text().replace("min_picture_neighbors: 2", "min_picture_neighbors: 1")
    )
    assert digest_of(content) != expected


def test_named_period_and_its_interval_are_the_same_request(content):
    expected = digest_of(content)
    content["irf"]["period"] = "2026-01-10/2026-02-10"
    assert digest_of(content) == expected


def test_subarray_of_the_other_site(content):
    content["irf"]["subarray"] = "CTAO-South"
    with pytest.raises(InputError, match=r"irf\.subarray: .*stands at CTAO-South"):
        resolve(parse_config(content))


def test_unknown_subarray_lists_the_known_ones(content):
    content["irf"]["subarray"] = "CTAO-West"
    with pytest.raises(InputError, match="CTAO-North"):
        resolve(parse_config(content))


def test_request_is_missing():
    with pytest.raises(InputError, match="irf: is missing"):
        resolve(parse_config({}))


def test_period_without_conditions(content):
    content["irf"]["period"] = "1999-01-01/1999-02-01"
    with pytest.raises(InputError, match="1999"):
        resolve(parse_config(content))


def test_unknown_period_lists_the_known_ones(content):
    content["irf"]["period"] = "2026-spring-break"
    with pytest.raises(InputError, match="2026-winter"):
        resolve(parse_config(content))


def test_reference_that_is_not_fits(checkout, content):
    (checkout / "irf.fits").write_text("no FITS")
    content["irf"]["precision"]["reference"] = "irf.fits"
    with pytest.raises(InputError, match=r"irf\.precision\.reference: irf\.fits is not an IRF"):
        resolve(parse_config(content))


def test_reference_that_does_not_exist(content):
    content["irf"]["precision"]["reference"] = "nowhere.fits"
    with pytest.raises(InputError, match="no such file"):
        resolve(parse_config(content))


def test_version_of_the_simulator_that_is_not_installed(content):
    content["irf"]["model"]["version"] = "99"
    with pytest.raises(InputError, match=r"irf\.model\.version"):
        resolve(parse_config(content))


def test_digest_is_stable_text(content):
    content["irf"].pop("systematics")
    text = yaml.safe_dump(resolve(parse_config(content)).canonical)
    assert "'unit': deg" not in text
    assert "rad" in text
