"""Search for compute resources: filter, ranking, pins, nearness of data."""

import json
from dataclasses import replace

import pytest

from ctabatch.cli.main import run
from ctabatch.compute.resource import Need, NoResourceError, Resource, judge, rank
from ctabatch.compute.search import find_resources, survey
from ctabatch.config.load import parse_config
from ctabatch.errors import BatchError, InputError
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake

SITE = Resource("dirac", "LCG.A.de", cpus=8, memory_bytes=16 * 10**9, walltime_s=36000.0)


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """Make configurations whose results and lake are in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda **compute: parse_config({"compute": compute})


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run `cta-batch resources` in an empty folder; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = 0
        try:
            run(["resources", *arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


@pytest.mark.parametrize(
    ("need", "lacks"),
    [
        (Need(cpus=9), "CPUs 8 of 9"),
        (Need(memory=17 * 10**9), "memory 16.0 GB of 17.0 GB"),
        (Need(walltime=11 * 3600), "wall time 10 h of 11 h"),
    ],
)
def test_what_a_resource_lacks_is_named(need, lacks):
    assert judge(SITE, need).unmet == (lacks,)


def test_unknown_limits_do_not_exclude():
    unknown = replace(SITE, cpus=None, memory_bytes=None, walltime_s=None)
    assert judge(unknown, Need(cpus=64, memory=10**12, walltime=10**6)).unmet == ()


def test_banned_site_is_never_offered():
    assert judge(replace(SITE, usable=False, status="banned: fire"), Need()).unmet == (
        "banned: fire",
    )


def test_rank_by_queue_free_slots_and_near_data():
    busy = replace(SITE, name="busy", waiting=500, running=20)
    turning = replace(SITE, name="turning", waiting=500, running=4000)
    idle = replace(SITE, name="idle", slots_free=50, waiting=0, running=0)
    near = replace(SITE, name="near", waiting=500, running=20, near_fraction=1.0)
    small = replace(SITE, name="small", cpus=1, slots_free=1000)
    judged = [judge(item, Need(cpus=2)) for item in (small, busy, turning, idle, near)]
    assert [item.name for item in rank(judged)] == ["near", "idle", "turning", "busy", "small"]


def test_results_need_disk_on_this_machine_only(configure):
    with pytest.raises(NoResourceError, match=r"localhost: disk .* for results"):
        find_resources(configure(), Need(storage=10**18))
    assert judge(replace(SITE, disk_free_bytes=1), Need(storage=10**18)).unmet == ()


def test_this_machine_is_found_with_free_capacity(configure):
    found = find_resources(configure(), Need())
    assert [item.name for item in found] == ["localhost"]
    assert found[0].cpus >= 1
    assert 0 <= found[0].slots_free <= found[0].cpus
    assert found[0].disk_free_bytes > 0
    json.dumps(found[0].record())


def test_unknown_pin_is_refused_with_the_names(configure):
    with pytest.raises(InputError, match=r"compute.pin: .*'LCG.Nowhere.xx'.*localhost"):
        survey(configure(pin=["LCG.Nowhere.xx"]))
    with pytest.raises(InputError, match=r"compute.ban: .*'l0calhost'"):
        survey(configure(ban=["l0calhost"]))


def test_ban_of_all_is_refused(configure):
    with pytest.raises(InputError, match="leave no resource"):
        survey(configure(ban=["local*"]))


def test_pin_and_ban_of_the_same_name_is_refused(configure):
    with pytest.raises(InputError, match="both in pin and in ban"):
        configure(pin=["a"], ban=["a"])


def ingest(config, folder, name, rse, content):
    path = folder / name
    path.write_text(content)
    file = NewFile(path, f"test:/ctao.dpps.test/test/{name}", {"data__level": "DL0"})
    open_lake(config.lake).ingest([file], rse=rse)


def test_near_data_by_bytes_and_each_file_once(configure, tmp_path):
    config = configure()
    ingest(config, tmp_path, "a.fits", "DISK", "x" * 300)
    ingest(config, tmp_path, "b.fits", "TAPE", "x" * 100)
    assert survey(config, Need(near="data__level = DL0"))[0][0].near_fraction == 1
    mapped = configure(rse_sites={"DISK": ["localhost"], "TAPE": ["LCG.Far.xx"]})
    found, notes = survey(mapped, Need(near="data__level = DL0"))
    assert found[0].near_fraction == 0.75
    assert notes == []


def test_query_without_files_is_refused(configure):
    with pytest.raises(InputError, match="no file of the lake matches"):
        survey(configure(), Need(near="data__level = DL0"))


def test_absent_slurm_says_so(configure, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BatchError, match="sinfo is not here"):
        find_resources(configure(), backends=["slurm"])


def test_away_dirac_server_is_named_after_patience(configure, monkeypatch, tmp_path):
    login = tmp_path / "login.json"
    login.write_text("{}")
    login.chmod(0o600)
    monkeypatch.setenv("DIRACX_CREDENTIALS_PATH", str(login))
    config = configure(patience=1, dirac={"url": "http://127.0.0.1:9"})
    with pytest.raises(BatchError, match=r"http://127.0.0.1:9/? does not answer"):
        find_resources(config, backends=["dirac"])


def test_dirac_without_login_says_so(configure, monkeypatch, tmp_path):
    monkeypatch.setenv("DIRACX_CREDENTIALS_PATH", str(tmp_path / "none.json"))
    with pytest.raises(BatchError, match="not logged in"):
        find_resources(configure(dirac={"url": "http://127.0.0.1:9"}), backends=["dirac"])


def test_command_prints_a_table_and_json(cli):
    code, out, _ = cli()
    assert code == 0
    assert out.splitlines()[0].startswith("resource\tback end")
    assert out.splitlines()[1].startswith("localhost\tlocal")
    code, out, _ = cli("--json", "--cpus", "1", "--memory", "1MB", "--walltime", "30 min")
    assert code == 0
    assert json.loads(out)["resources"][0]["name"] == "localhost"


def test_command_without_a_fitting_resource_exits_1_with_the_best(cli):
    code, out, err = cli("--cpus", "100000")
    assert (code, out) == (1, "")
    assert "localhost: CPUs" in err
    assert "of 100000" in err
    code, out, _ = cli("--cpus", "100000", "--all")
    assert code == 0
    assert "of 100000" in out


@pytest.mark.parametrize("value", ["4", "4 pigs", "4 s", "-4 GB"])
def test_command_refuses_bad_quantities(cli, value):
    code, _, err = cli("--memory", value)
    assert code == 2
    assert err.startswith("cta-batch: error: --memory:")
    assert len(err.splitlines()) == 1
