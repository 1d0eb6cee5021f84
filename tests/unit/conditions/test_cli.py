"""``cta-batch conditions``."""

import json

import pytest


@pytest.fixture
def options(folder):
    return ("--folder", folder)


def test_list(cta_batch, options):
    code, out, _ = cta_batch("conditions", "list", *options)
    assert code == 0
    assert "CTAO-North  version 1  2026-05-01/2026-07-01  thin" in out
    assert "CTAO-North  period spring (2026-02-01/2026-04-01)" in out
    assert "all sites  period 2026 (2026-01-01/2027-01-01)" in out


def test_list_as_json(cta_batch, options):
    found = json.loads(cta_batch("conditions", "list", "--json", *options)[1])
    assert len(found["conditions"]) == 4
    assert {"site": None, "name": "2026", "start": "2026-01-01 00:00:00"}.items() <= found[
        "periods"
    ][0].items()


def test_show(cta_batch, options):
    interval = "2026-05-01/2026-06-01"
    arguments = ("conditions", "show", "CTAO-North", interval, "--version", "1", *options)
    code, out, _ = cta_batch(*arguments)
    assert code == 0
    assert "valid:       2026-05-01/2026-07-01" in out
    assert "unavailable: telescopes 3, 7" in out
    found = json.loads(cta_batch(*arguments, "--json")[1])
    assert found["atmosphere"]["parameters"]["column_factor"] == 0.9


def test_unknown_period_is_one_line_and_exit_code_2(cta_batch, options):
    code, out, err = cta_batch("conditions", "show", "CTAO-North", "autumn", *options)
    assert (code, out) == (2, "")
    assert err.startswith("cta-batch: error: conditions.period: CTAO-North has no period 'autumn'")
    assert err.count("\n") == 1


def test_password_in_a_url_is_refused(cta_batch):
    code, _, err = cta_batch("conditions", "list", "--url", "postgresql://me:secret@host/db")
    assert code == 2
    assert "url: a password must not stand" in err
    assert "secret" not in err


def test_settings_of_a_configuration(cta_batch, tmp_path, folder):
    path = tmp_path / "request.yaml"
    path.write_text(f"conditions: {{folder: {folder}}}\n")
    code, out, _ = cta_batch("conditions", "list", "--config", path)
    assert code == 0
    assert "spring" in out
