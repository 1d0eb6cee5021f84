"""Look-ups in a small database: what is found, and what the errors list."""

from datetime import datetime

import pytest

from ctabatch.conditions.lookup import (
    list_conditions,
    list_periods,
    lookup_atmosphere,
    lookup_conditions,
)
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.errors import BatchError, InputError
from ctabatch.simulation.card import AtmosphereCard


def test_by_interval(settings):
    found = lookup_conditions(settings, "CTAO-North", "2026-05-01/2026-07-01")
    assert (found.site, found.version, found.atmosphere) == ("CTAO-North", "1", "thin")
    assert found.start == found.valid_from == datetime(2026, 5, 1)
    assert found.end == found.valid_to == datetime(2026, 7, 1)
    assert found.nsb == {"dark": 1.0, "halfmoon": 4.5}
    assert found.telescopes_unavailable == (3, 7)
    assert found.optical_throughput == {"LST": 0.95, "MST": 1.0}
    assert found.source == "this test"


def test_by_name(settings):
    found = lookup_conditions(settings, "CTAO-North", "spring")
    assert (found.start, found.end) == (datetime(2026, 2, 1), datetime(2026, 4, 1))
    assert (found.valid_from, found.valid_to) == (datetime(2026, 1, 1), datetime(2026, 5, 1))


def test_versions(folder, settings):
    newest = ConditionsSettings(folder=folder)
    assert lookup_conditions(newest, "CTAO-North", "spring").version == "2"
    assert lookup_conditions(settings, "CTAO-North", "spring", "2").version == "2"
    assert lookup_conditions(settings, "CTAO-North", "spring").optical_throughput["LST"] == 0.95


def test_atmosphere_is_what_the_run_card_takes(settings):
    card = lookup_atmosphere(settings, "thin")
    assert card == AtmosphereCard(model="us-standard", column_factor=0.9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("CTAO-East", "spring"), ["irf.site", "CTAO-East", "allowed: CTAO-North"]),
        (("CTAO-North", "autumn"), ["irf.period", "autumn", "spring (2026-02-01/2026-04-01)"]),
        (("CTAO-North", "spring", "9"), ["conditions.version", "'9'", "2, 1"]),
        (
            ("CTAO-North", "2026-06-01/2026-08-15"),
            ["irf.period", "nothing for 2026-07-01/2026-08-01", "2026-05-01/2026-07-01"],
        ),
        (("CTAO-North", "dusty"), ["nothing for 2026-07-05/2026-07-10"]),
        (
            ("CTAO-North", "2025-12-01/2026-02-01"),
            ["nothing for 2025-12-01/2026-01-01", "2026-01-01/2026-05-01"],
        ),
        (("CTAO-North", "2026"), ["2026-07-01/2026-08-01 and 2026-09-01/2027-01-01"]),
        (("CTAO-North", "2030-01-01/2031-01-01"), ["nothing for 2030-01-01/2031-01-01"]),
        (("CTAO-North", "2026-03-01/2026-06-01"), ["spans 2 conditions", "2026-05-01/2026-07-01"]),
        (("CTAO-North", "2026-03-01/2026-02-01"), ["irf.period", "does not end after"]),
        (("CTAO-North", "x\ny"), ["irf.period"]),
    ],
)
def test_errors_list_what_there_is(settings, arguments, said):
    with pytest.raises(InputError) as caught:
        lookup_conditions(settings, *arguments)
    line = str(caught.value)
    assert line.isprintable()
    for words in said:
        assert words in line


def test_unknown_atmosphere(settings):
    with pytest.raises(InputError, match=r"'thick'.*allowed: thin"):
        lookup_atmosphere(settings, "thick")


def test_overlap_of_a_database_that_others_filled(folder, settings, tmp_path):
    """The YAML files can't overlap; a shared database that was changed by hand can."""
    from sqlalchemy import update

    from ctabatch.conditions import database, tables
    from ctabatch.conditions.fill import fill, read_files

    url = f"sqlite:///{tmp_path}/shared.sqlite"
    engine = database.connect(url, create=True)
    fill(engine, read_files(database.yaml_files(folder)))
    with engine.begin() as connection:
        table = tables.validity
        late = table.c.start == datetime(2026, 5, 1)
        connection.execute(update(table).where(late).values(start=datetime(2026, 4, 15)))
    shared = ConditionsSettings(url=url, version="1")
    with pytest.raises(BatchError, match=r"overlap from 2026-04-15.*there is: 2026-01-01"):
        lookup_conditions(shared, "CTAO-North", "2026-04-01/2026-04-20")


def test_lists(settings):
    names = [str(period) for period in list_periods(settings, "CTAO-North")]
    assert names == [
        "2026 (2026-01-01/2027-01-01)",
        "spring (2026-02-01/2026-04-01)",
        "dusty (2026-07-05/2026-07-10)",
    ]
    assert [item.version for item in list_conditions(settings)] == ["1", "1", "1", "2"]
    assert list_conditions(settings, "CTAO-South") == []
