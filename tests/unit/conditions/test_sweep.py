"""Whatever stands in a file of conditions: accepted as documented, or a line that names the key."""

from pathlib import Path

import pytest

from ctabatch.conditions.model import AtmosphereFile, PeriodFile, SiteFile
from ctabatch.config.load import parse_section, read_yaml
from ctabatch.errors import InputError
from sweep_tools import Sweep, check_line

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
    for place in sweep.found:
        refused = [
            sweep.judge(place, name, value) is not None for name, value in sweep.mutations(place)
        ]
        assert any(refused), place.name
    with capsys.disabled():
        print(f"\n{sweep.model.__name__}: {len(sweep.found)} fields swept, {dict(sweep.count)}")


def test_every_field_with_a_typo(sweep):
    for content, location in sweep.unknown_keys():
        with pytest.raises(InputError, match=f"{location[-1]}_: unknown key") as caught:
            sweep.parse(content, "file.yaml")
        check_line(str(caught.value), (*location[:-1], f"{location[-1]}_"))
