"""Each kind of mistake gives exit code 2 and one line: file, key, what is wrong, what is allowed."""

import pytest

from ctabatch.config.load import parse_config
from ctabatch.errors import InputError

MISSING = object()

#: key, value, what the line must say
MISTAKES = [
    ("irf.pointing.zenit", "20 deg", ["irf.pointing.zenit", "unknown key", "'zenith'", "azimuth"]),
    ("irff", {}, ["irff", "unknown key", "did you mean 'irf'", "simulation"]),
    ("irf.systematics.0.size", 1, ["irf.systematics[0].size", "unknown key", "change"]),
    ("irf.pointing.zenith", "95 deg", ["irf.pointing.zenith", "95 deg", "0 to 70 deg"]),
    ("irf.pointing.zenith", "-1 deg", ["irf.pointing.zenith", "0 to 70 deg"]),
    ("irf.pointing.zenith", "20 m", ["irf.pointing.zenith", "wrong unit", "1 deg"]),
    ("irf.pointing.zenith", "20", ["irf.pointing.zenith", "no unit", "1 deg"]),
    ("irf.pointing.zenith", 20, ["irf.pointing.zenith", "20 deg"]),
    ("irf.pointing.zenith", "nan deg", ["irf.pointing.zenith", "0 to 70 deg"]),
    ("irf.pointing.zenith", "twenty deg", ["irf.pointing.zenith", "not a number with a unit"]),
    ("irf.pointing.zenith", None, ["irf.pointing.zenith", "null"]),
    ("irf.pointing.zenith", MISSING, ["irf.pointing.zenith", "is missing", "from 0 deg to 70 deg"]),
    ("irf.pointing", "20 deg", ["irf.pointing", "section"]),
    ("irf.site", "CTAO-East", ["irf.site", "CTAO-East", "CTAO-North, CTAO-South"]),
    ("irf.site", None, ["irf.site", "null", "CTAO-North, CTAO-South"]),
    ("irf.name", "a b", ["irf.name", "letters, digits"]),
    ("irf.name", "$(rm -rf)", ["irf.name", "letters, digits"]),
    ("irf.name", "line\nbreak", ["irf.name", r"line\nbreak"]),
    ("irf.name", 2026, ["irf.name", "quotes"]),
    ("irf.name", "x" * 10_000, ["irf.name", "up to 48"]),
    ("irf.systematics", {}, ["irf.systematics", "not a list"]),
    ("irf.systematics.0.change", MISSING, ["irf.systematics[0]", "needs 'change'"]),
    ("irf.systematics.0.change", "0 %", ["irf.systematics[0]", "nominal"]),
    ("irf.systematics.0.change", "0.1", ["irf.systematics[0].change", "no unit", "1 %"]),
    ("irf.systematics.1.name", "low", ["irf", "differ"]),
    ("irf.binning", {"energy_min": "9 TeV", "energy_max": "1 TeV"}, ["irf.binning", "above"]),
    ("irf.precision", {"energy_min": "9 TeV", "energy_max": "1 TeV"}, ["irf.precision", "above"]),
    ("irf.precision", {"energy_max": "90 TeV"}, ["irf", "90.0 TeV", "50.0 TeV"]),
    ("irf.binning", {"energy_max": "200 TeV"}, ["irf.binning", "simulation.particles.gamma"]),
    (
        "simulation",
        {"particles": {"gamma": {"spectral_index": -1.0}}},
        ["simulation.particles.gamma.spectral_index", "-1"],
    ),
    ("irf.binning", {"bins_per_decade": 5.5}, ["irf.binning.bins_per_decade", "whole number"]),
    ("irf.binning", {"bins_per_decade": "5"}, ["irf.binning.bins_per_decade", "whole number"]),
    ("irf.binning", {"bins_per_decade": True}, ["irf.binning.bins_per_decade", "true"]),
    ("irf.binning", {"bins_per_decade": 50}, ["irf.binning.bins_per_decade", "from 1 to 20"]),
    ("irf.precision", {"effective_area": float("nan")}, ["irf.precision.effective_area", "finite"]),
    ("irf.precision", {"effective_area": float("inf")}, ["irf.precision.effective_area", "finite"]),
    ("irf.precision", {"effective_area": 10**400}, ["irf.precision.effective_area", "0.5"]),
    ("irf.observation_time", "0 h", ["irf.observation_time", "0.01"]),
    ("irf.period", "2026-04-01/2026-01-01", ["irf.period", "does not end after it starts"]),
    ("irf.period", "first half of 2026", ["irf.period", "ISO interval"]),
    ("irf.period", "2026-01-01T00:00Z/2026-02-01T00:00Z", ["irf.period", "time zone"]),
    ("irf.model", {"simulator": "corsika-simtel"}, ["irf.model", "high_energy_interaction"]),
    ("irf.model", {"container": "x;ls"}, ["irf.model.container", "x;ls"]),
    ("conditions", {"url": "postgresql://me:secret@host/db"}, ["conditions.url", "PGPASSWORD"]),
    ("conditions", {"url": "postgresql://me@host/db?password=secret"}, ["conditions.url"]),
    ("conditions", {"url": "mysql://host/db"}, ["conditions.url", "postgresql://"]),
    ("contact", {"email": "nobody"}, ["contact.email", "@"]),
    ("contact", {"name": "a\x00b"}, ["contact.name", "control characters"]),
    ("results", "", ["results", "path"]),
    ("results", "-rf", ["results", "path"]),
    ("results", "{name}", ["results", "path"]),
    ("lake", {"local": {"rses": {"bad name": {}}}}, ["lake.local.rses", "bad name", "names"]),
    ("lake", {"local": {"rses": {"DISK": {"quota": -1}}}}, ["lake.local.rses.DISK.quota", "above"]),
    ("simulation", {"particles": {"muon": {}}}, ["simulation.particles.muon", "gamma"]),
    (
        "simulation",
        {"particles": {"gamma": {"energy_max": "1 GeV"}}},
        ["gamma", "above energy_min"],
    ),
    ("limits", {"jobs": 0}, ["limits.jobs", "above 0"]),
]


def change(content, key, value):
    """Set a dotted key, or remove it."""
    *path, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in path:
        content = content[part]
    if value is MISSING:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(("key", "value", "said"), MISTAKES)
def test_one_line_names_the_key_and_what_is_allowed(content, key, value, said):
    change(content, key, value)
    with pytest.raises(InputError) as caught:
        parse_config(content, "request.yaml")
    line = str(caught.value)
    assert line.startswith("request.yaml: ")
    assert line.isprintable()
    assert len(line) < 600
    assert "secret" not in line
    for words in said:
        assert words in line


def test_the_misspelled_key_is_shown_before_the_one_that_it_makes_missing(content):
    content["irf"]["nane"] = content["irf"].pop("name")
    with pytest.raises(InputError, match=r"irf\.nane: unknown key; did you mean 'name'\?.*1 more"):
        parse_config(content)


def test_exit_code_and_single_line(cta_batch, write, content):
    content["irf"]["pointing"]["zenith"] = "95 deg"
    path = write(content)
    code, out, err = cta_batch("config", "check", path)
    assert (code, out) == (2, "")
    assert (
        err == f"cta-batch: error: {path}: irf.pointing.zenith: '95 deg' is outside 0 to 70 deg\n"
    )
