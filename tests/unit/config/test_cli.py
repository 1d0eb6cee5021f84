"""``cta-batch config``."""

import json
from pathlib import Path

import astropy.units as u
import pytest

from ctabatch.config.documentation import schema_text
from ctabatch.config.explain import entries, explain
from ctabatch.config.load import parse_config
from ctabatch.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def test_check_names_the_targets(cta_batch, write, content):
    path = write(content)
    assert cta_batch("config", "check", path) == (
        0,
        f"{path}: OK; it can run: irf (winter-north)\n",
        "",
    )
    code, out, _ = cta_batch("config", "check", path, "--json")
    assert (code, json.loads(out)["targets"]) == (0, {"irf": "winter-north"})


def test_check_without_a_request(cta_batch, write):
    code, out, _ = cta_batch("config", "check", write("results: results\n"))
    assert code == 0
    assert "no request" in out


def test_check_json_of_a_mistake(cta_batch, write, content):
    content["irf"]["site"] = "CTAO-East"
    code, out, err = cta_batch("config", "check", write(content), "--json")
    assert code == 2
    found = json.loads(out)
    assert found["valid"] is False
    assert found["where"].endswith("irf.site")
    assert found["allowed"] == "CTAO-North, CTAO-South"
    assert err.count("\n") == 1


def test_schema(cta_batch):
    assert cta_batch("config", "schema") == (0, schema_text(), "")


def test_schema_write(cta_batch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cta_batch("config", "schema", "--write")[0] == 2
    (tmp_path / "workflow").mkdir()
    (tmp_path / "config").mkdir()
    assert "wrote config/README.md" in cta_batch("config", "schema", "--write")[1]
    assert cta_batch("config", "schema", "--write")[1] == "up to date\n"


def test_explain_a_quantity(cta_batch):
    code, out, _ = cta_batch("config", "explain", "irf.pointing.zenith")
    assert code == 0
    assert out.splitlines() == [
        "irf.pointing.zenith: Zenith angle.",
        "  unit:    deg, or any that converts to it",
        "  allowed: a number with a unit convertible to deg, from 0 deg to 70 deg",
        "  default: required",
        "  example: zenith: 20 deg",
    ]


def test_explain_a_section_lists_its_keys(cta_batch):
    code, out, _ = cta_batch("config", "explain", "irf.precision")
    assert code == 0
    assert "effective_area:" in out
    assert "a number from 0.005 to 0.5; default: 0.1" in out


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("irf.systematics[0].change", "irf.systematics[].change"),
        ("irf.systematics.change", "irf.systematics[].change"),
        ("lake.local.rses.TAPE.tier", "lake.local.rses.NAME.tier"),
    ],
)
def test_explain_below_lists_and_names(asked, found):
    assert explain(asked)[0].key == found


@pytest.mark.parametrize(
    ("asked", "near"), [("irf.zenith", "irf.pointing.zenith"), ("zenit", "irf.pointing.zenith")]
)
def test_explain_unknown_key_names_near_ones(cta_batch, asked, near):
    code, out, err = cta_batch("config", "explain", asked)
    assert (code, out) == (2, "")
    assert f"did you mean {near}?" in err
    assert err.count("\n") == 1


def test_every_key_can_be_explained():
    for entry in entries():
        assert explain(entry.key)[0] == entry
    with pytest.raises(InputError, match="there is no key"):
        explain("")


def test_defaults_shown_are_those_of_the_models():
    config = parse_config({}).model_dump(mode="json")
    for entry in entries():
        if entry.section or entry.required or "NAME" in entry.key or "[]" in entry.key:
            continue
        value = config
        for part in entry.key.split("."):
            value = value[part] if value is not None else None
        absent = ("irf.", "lake.rucio.", "concordia.", "analysis.", "observation.", "reprocessing.")
        if not entry.key.startswith(absent):
            same = u.Quantity(value) == u.Quantity(entry.default) if entry.unit else None
            assert same or value == entry.default, entry.key
