"""A shared database on a real PostgreSQL server."""

import threading

import pytest

from ctabatch.conditions import database as module
from ctabatch.conditions.fill import fill, read_files
from ctabatch.conditions.lookup import list_conditions, list_periods, lookup_conditions
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.errors import BatchError, InputError


def test_fill_and_look_up(database, folder, settings, cta_batch):
    code, out, _ = cta_batch("conditions", "fill", "--url", database, "--folder", folder)
    assert code == 0
    assert out.endswith("6 added, 0 replaced, 0 there already\n")
    code, out, _ = cta_batch("conditions", "fill", "--url", database, "--folder", folder)
    assert (code, out) == (0, "0 added, 0 replaced, 6 there already\n")
    shared = ConditionsSettings(url=database, version="1")
    assert lookup_conditions(shared, "CTAO-North", "spring") == lookup_conditions(
        settings, "CTAO-North", "spring"
    )
    assert list_conditions(shared) == list_conditions(settings)
    assert list_periods(shared) == list_periods(settings)
    with pytest.raises(InputError, match="nothing for 2026-07-01/2026-08-01"):
        lookup_conditions(shared, "CTAO-North", "2026-06-01/2026-08-15")
    code, out, _ = cta_batch("conditions", "show", "CTAO-North", "spring", "--url", database)
    assert code == 0
    assert "version:     2" in out


def test_several_at_once_fill_it_once(database, folder):
    content = read_files(module.yaml_files(folder))
    done, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait()
        done.append(fill(module.connect(database), content))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(len(item.added) for item in done) == [0, 0, 0, 6]


def test_changed_content_is_refused_as_a_whole(database, folder, files, cta_batch):
    import yaml

    assert cta_batch("conditions", "fill", "--url", database, "--folder", folder)[0] == 0
    files["site"]["versions"][1]["description"] = "changed"
    files["periods"]["periods"]["new"] = "2026-01-01/2026-02-01"
    for name in ("site", "periods"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(files[name]))
    code, _, err = cta_batch("conditions", "fill", "--url", database, "--folder", folder)
    assert code == 1
    assert "version 2 of CTAO-North" in err
    assert "--replace" in err
    shared = ConditionsSettings(url=database)
    assert "new" not in [period.name for period in list_periods(shared)]
    arguments = ("conditions", "fill", "--url", database, "--folder", folder, "--replace")
    assert cta_batch(*arguments)[1].endswith("1 added, 1 replaced, 5 there already\n")


def test_empty_database(database):
    with pytest.raises(BatchError, match=r"no table of conditions.*conditions fill --url postgres"):
        lookup_conditions(ConditionsSettings(url=database), "CTAO-North", "spring")


def test_wrong_password(database, monkeypatch, cta_batch):
    monkeypatch.setenv("PGPASSWORD", "wrong-one")
    code, _, err = cta_batch("conditions", "list", "--url", database)
    assert code == 1
    assert err.count("cta-batch: error:") == 1
    assert "does not answer" in err
    assert "PGPASSWORD" in err
    assert "wrong-one" not in err
    assert "Traceback" not in err


def test_no_server(postgresql, monkeypatch, caplog):
    """A server that does not answer is asked again before it is given up."""
    monkeypatch.setattr(module._patiently.retry, "wait", lambda state: 0.01)
    settings = ConditionsSettings(url="postgresql://tester@127.0.0.1:1/x")
    with pytest.raises(BatchError, match="does not answer"):
        lookup_conditions(settings, "CTAO-North", "spring")
    assert len([record for record in caplog.records if "asking again" in record.message]) == 3
