"""What the models accept and mean."""

import astropy.units as u
import pytest
from pydantic import ValidationError

from ctabatch.config.base import canonical, shorten
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.config.irf import parse_interval
from ctabatch.config.load import parse_config


def test_defaults_are_valid_and_complete():
    config = parse_config({})
    assert config.irf is None
    assert config.simulation.particles.gamma.energy_max == 100 * u.TeV
    assert parse_config(config.model_dump(mode="json")) == config


def test_round_trip_of_a_request(content):
    config = parse_config(content)
    assert parse_config(config.model_dump(mode="json")) == config
    assert config.irf.systematics[0].change.to_value("") == pytest.approx(-0.1)


@pytest.mark.parametrize(
    "text", ["20 deg", "0.349066 rad", "1200 arcmin", " 2e1  deg", "20.0000001 deg"]
)
def test_spelling_of_a_quantity_does_not_change_the_canonical_form(content, text):
    reference = canonical(parse_config(content).irf)
    content["irf"]["pointing"]["zenith"] = text
    assert canonical(parse_config(content).irf) == reference


def test_canonical_is_made_of_plain_values():
    import json

    content = canonical(parse_config({}))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["results"] == "results"


def test_one_key_of_a_particle_leaves_the_others_at_their_defaults():
    config = parse_config({"simulation": {"particles": {"gamma": {"energy_max": "60 TeV"}}}})
    default = parse_config({}).simulation.particles
    assert config.simulation.particles.gamma.energy_max == 60 * u.TeV
    assert config.simulation.particles.gamma.scatter_radius == default.gamma.scatter_radius
    assert config.simulation.particles.proton == default.proton


def test_models_can_not_be_changed():
    with pytest.raises(ValidationError):
        parse_config({}).results = "elsewhere"


@pytest.mark.parametrize(
    "url", ["postgresql://me@host:5432/db", "postgresql:///db", "sqlite:///a.sqlite"]
)
def test_urls(url):
    assert ConditionsSettings(url=url).url == url


def test_intervals():
    start, end = parse_interval("2026-01-01/2026-04-01T12:00")
    assert (start.isoformat(), end.isoformat()) == ("2026-01-01T00:00:00", "2026-04-01T12:00:00")
    assert parse_interval("2026-winter") is None


def test_values_in_messages_are_short_and_printable():
    assert shorten("a\nb\u202e") == r"'a\nb\u202e'"
    assert len(shorten("x" * 1000)) == 60
    assert shorten(None) == "null"


def test_dates_have_a_canonical_form():
    from datetime import date, datetime

    assert canonical(date(2026, 1, 2)) == "2026-01-02"
    assert canonical(datetime(2026, 1, 2, 3)) == "2026-01-02T03:00:00"
