"""Search by project: who sees what, and which observations are chosen."""

import json
from datetime import date

import pytest

from ctabatch.cli.main import run
from ctabatch.errors import InputError
from ctabatch.iam.errors import NoAccess
from ctabatch.iam.identity import LOCAL, Identity
from ctabatch.iam.projects import Cone, Selection, access, project_observations
from project_tools import FUTURE, PAST, fill_lake, log_in_as, observation, write_config

PI = Identity("Petra", "pi", "https://iam.example.org/", projects=("P42",))


@pytest.fixture
def lake(tmp_path):
    return fill_lake(tmp_path / "lake")


@pytest.fixture
def cli(lake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def command(*arguments):
        code = 0
        try:
            run(arguments)
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


def found(lake, *arguments, person=PI, **selection):
    rows = project_observations(lake, person, arguments[0], Selection(**selection), *arguments[1:])
    return [row["instance__obs_id"] for row in rows]


def test_a_pi_sees_the_observations_of_the_project(lake):
    rows = project_observations(lake, PI, "P42")
    assert [row["instance__obs_id"] for row in rows] == [1, 2, 3]
    assert [row["irf_state"] for row in rows] == ["valid", "superseded", "vanished"]
    assert {row["access"] for row in rows} == {"project"}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"objects": ("crab",)}, [1, 2]),
        ({"objects": ("Sgr*", "Vela")}, [3]),
        ({"cone": Cone(83.63, 22.01, 1)}, [1, 2]),
        ({"cone": Cone(83.63, 22.01, 0.4)}, []),
        ({"max_zenith": 30}, [1, 3]),
        ({"min_livetime": 1800}, []),
        ({"valid_irf": True}, [1]),
        ({"superseded": True}, [1, 2, 3, 4]),
    ],
)
def test_selection(lake, selection, expected):
    assert found(lake, "P42", **selection) == expected


def test_time_and_query(lake):
    from datetime import datetime

    assert found(lake, "P42", after=datetime(2026, 3, 3)) == [2, 3]
    assert found(lake, "P42", before=datetime(2026, 3, 3, 20, 30)) == [1, 2]
    assert found(lake, "P42", "instance__obs_id > 1 or instance__obs_id = 5") == [2, 3]


def test_a_file_without_the_asked_value_is_not_chosen(tmp_path):
    bare = {k: v for k, v in observation(9, "P42").items() if not k.startswith("obs__")}
    lake = fill_lake(tmp_path / "lake", {"9.dl3.fits": bare | {"dl3__irf": None}})
    assert found(lake, "P42") == [9]
    assert found(lake, "P42", max_zenith=60) == []
    assert found(lake, "P42", min_livetime=0) == []
    assert found(lake, "P42", cone=Cone(0, 0, 180)) == []
    (row,) = project_observations(lake, PI, "P42")
    assert row["irf_state"] == "none"


def test_released_data_are_everybodys(lake):
    assert found(lake, "P78") == [6]
    (row,) = project_observations(lake, PI, "P78")
    assert row["access"] == "public"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"proposal_id": "P42"}, "project"),
        ({"proposal_id": "P1", "release_date": "2026-05-01"}, "public"),
        ({"proposal_id": "P1", "release_date": "2026-05-02"}, None),
        ({"proposal_id": "P1", "release_date": "soon"}, None),
        ({"proposal_id": "P1"}, None),
        ({}, None),
    ],
)
def test_access(metadata, expected):
    assert access(PI, metadata, date(2026, 5, 1)) == expected


def test_operators_see_all(lake):
    assert found(lake, "P77", person=Identity("O", "o", "i", projects=("*",))) == [5]
    assert found(lake, "P77", person=Identity("O", "o", LOCAL, projects=("*",))) == [5]


def test_denied_tells_nothing_about_what_exists(lake):
    messages = []
    for project in ("P77", "P1", "p42"):
        with pytest.raises(NoAccess) as error:
            project_observations(lake, PI, project)
        messages.append(str(error.value).replace(project, "X"))
    assert len(set(messages)) == 1
    assert "there is no data of project X that Petra" in messages[0]
    assert error.value.exit_code == 1


def test_denied_on_the_command_line_too(cli, tmp_path):
    write_config(tmp_path, log_in_as("pi", "/cta/P42"))
    answers = []
    for project in ("P77", "P1"):
        for more in ([], ["--json"], ["--limit", "0"], ["--columns", "bytes"]):
            code, out, errors = cli("search", "--project", project, *more)
            assert (code, out) == (1, "")
            answers.append(errors.replace(project, "X"))
    assert len(set(answers)) == 1


def test_table_of_observations(cli, tmp_path):
    write_config(tmp_path, log_in_as("pi", "/cta/P42"))
    code, out, errors = cli("search", "--project", "P42", "--max-zenith", "50 deg")
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0][:4] == ["obs_id", "object", "start (UTC)", "livetime s"]
    assert lines[1][:7] == ["1", "Crab", "2026-03-02T20:00:00", "1700", "83.630", "22.510", "20.0"]
    assert lines[1][8:10] == ["valid", "project"]
    assert "3 observations, 222 bytes, 1.42 h live time, as seen by pi (pi at" in errors
    code, out, errors = cli("search", "--project", "P42", "--json", "--cone", "266.4,-29,2")
    (row,) = json.loads(out)
    assert row["obs__object"] == "Sgr A*"
    code, out, _ = cli("search", "--project", "P42", "--min-livetime", "1 h")
    assert (code, out) == (0, "no observation of project P42 matches\n")


def test_login_without_groups_sees_public_data_only(cli, tmp_path):
    write_config(tmp_path, log_in_as("outsider"))
    assert cli("search", "--project", "P42")[0] == 1
    assert cli("search", "--project", "P78")[0] == 0


def test_without_a_login_it_says_how_to_get_one(cli, tmp_path):
    from project_tools import IAM

    write_config(tmp_path, IAM)
    code, _, errors = cli("search", "--project", "P42")
    assert code == 1
    assert "you are not logged in to escape (log in: cta-batch login escape)" in errors


def test_embedded_lake_without_login(cli):
    code, _, errors = cli("search", "--project", "P77")
    assert code == 0
    assert "as seen by local identity" in errors
    assert "nobody vouches for it" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to search for"),
        (["--object", "Crab"], "--object chooses among a project (allowed: with --project)"),
        (["--max-zenith", "20"], "--max-zenith chooses among a project"),
        (["--project", "a b"], "'a b' is no name of a project"),
        (["--project", 'x" or bytes = "1'], "is no name of a project"),
        (["--project", "P42", "--cone", "1,2"], "'1,2' is no cone"),
        (["--project", "P42", "--cone", "1,2,x"], "is no cone"),
        (["--project", "P42", "--cone", "1,91,2"], "is outside the sky"),
        (["--project", "P42", "--after", "yesterday"], "'yesterday' is no time"),
        (["--project", "P42", "--max-zenith", "20 s"], "a number with a unit, in deg"),
        (["--project", "P42", "--min-livetime", "-1"], "--min-livetime"),
    ],
)
def test_mistakes(cli, arguments, message):
    code, out, errors = cli("search", *arguments)
    assert (code, out) == (2, "")
    assert message in errors


def test_cones_with_units():
    assert Cone.parse("05h34m32s, 22d01m, 120 arcmin").radius == pytest.approx(2)
    with pytest.raises(InputError):
        Cone.parse("0,0,0")


def test_release_dates_of_the_tests_differ():
    assert PAST < date.today().isoformat() < FUTURE
