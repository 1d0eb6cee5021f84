"""Whatever stands in a file of conditions: accepted as documented, or a line that names the key."""

from pathlib import Path

import pytest

from ctabatch.conditions.model import AtmosphereFile, PeriodFile, SiteFile
from ctabatch.config.load import parse_section, read_yaml
from sweep_tools import Sweep

SHIPPED = Path(__file__).parents[3] / "config/conditions"


def _site():
    """One version with one interval: the sweep tries each field once, not each entry."""
    content = read_yaml(SHIPPED / "ctao-north.yaml")
    content["versions"] = content["versions"][:1]
    content["versions"][0]["validity"] = content["versions"][0]["validity"][:1]
    content["versions"][0]["validity"][0]["telescopes_unavailable"] = [3, 7]
    content["periods"] = {"spring": "2026-02-01/2026-04-01"}
    return content


def _atmospheres():
    found = read_yaml(SHIPPED / "atmospheres.yaml")["atmospheres"]
    return {"atmospheres": {name: found[name] for name in list(found)[:1]}}


BASES = {
    SiteFile: _site,
    AtmosphereFile: _atmospheres,
    PeriodFile: lambda: {"periods": {"2026": "2026-01-01/2027-01-01"}},
}


@pytest.fixture(params=BASES, ids=lambda model: model.__name__)
def sweep(request):
    model = request.param
    return Sweep(
        model,
        lambda content, name: parse_section(model, content, name),
        {"base": BASES[model]()},
    )


def test_every_field_with_every_bad_value(sweep, capsys):
    assert not sweep.unfound
    sweep.judge_all()
    with capsys.disabled():
        print(f"\n{sweep.model.__name__}: {len(sweep.found)} fields swept, {dict(sweep.count)}")


def test_every_field_with_a_typo(sweep):
    sweep.judge_typos()
