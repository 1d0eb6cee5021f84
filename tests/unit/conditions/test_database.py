"""The embedded database is filled once, as a whole, by any number of processes."""

import multiprocessing
import os

import pytest
import yaml

from ctabatch.conditions import database
from ctabatch.conditions.fill import read_files
from ctabatch.conditions.lookup import lookup_conditions
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.errors import BatchError, ConflictError, InputError


@pytest.fixture(autouse=True)
def _forget():
    database._embedded_by_digest.cache_clear()


def throughput(settings):
    found = lookup_conditions(settings, "CTAO-North", "spring")
    return found.optical_throughput["LST"]


def test_made_once_under_its_digest(settings, cache):
    assert throughput(settings) == 0.95
    (path,) = cache.iterdir()
    digest = database.files_digest(database.yaml_files(settings.folder))
    assert path.name == f"conditions-{digest}.sqlite"
    before = path.stat()
    database._embedded_by_digest.cache_clear()
    assert throughput(settings) == 0.95
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_changed_files_give_another_database(settings, cache, files):
    assert throughput(settings) == 0.95
    for entry in files["site"]["versions"][0]["validity"]:
        entry["optical_throughput"]["LST"] = 0.5
    (settings.folder / "site.yaml").write_text(yaml.safe_dump(files["site"]))
    assert throughput(settings) == 0.5
    assert len(list(cache.iterdir())) == 2


def test_damaged_file_is_made_anew(settings, cache):
    throughput(settings)
    (path,) = cache.iterdir()
    for damage in (b"", b"not a database" * 100, path.read_bytes()[:5000]):
        path.write_bytes(damage)
        database._embedded_by_digest.cache_clear()
        assert throughput(settings) == 0.95


def test_cache_that_can_not_be_written_keeps_it_in_memory(settings, cache, caplog):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert throughput(settings) == 0.95
    assert "kept in memory" in caplog.text


def look_up(folder, cache, start, results):
    os.environ["XDG_CACHE_HOME"] = str(cache)
    start.wait()
    results.put(throughput(ConditionsSettings(folder=folder, version="1")))


def test_several_processes_at_once(settings, cache):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    workers = [
        context.Process(target=look_up, args=(settings.folder, cache.parent, start, results))
        for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    start.set()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert found == [0.95] * 6
    assert [path.suffix for path in cache.iterdir()] == [".sqlite"]


def broken(files, what):
    site = files["site"]
    first = site["versions"][0]["validity"]
    if what == "overlap":
        first[1]["interval"] = "2026-04-01/2026-07-01"
    elif what == "atmosphere":
        first[2]["atmosphere"] = "thick"
    elif what == "double version":
        site["versions"][1]["version"] = "1"
    elif what == "double period":
        files["periods"]["periods"]["spring"] = "2026-01-01/2026-02-01"
    elif what == "double site":
        files["again"] = site
    elif what == "reversed":
        first[0]["interval"] = "2026-05-01/2026-01-01"
    elif what == "key":
        first[0]["nbs"] = first[0].pop("nsb")
    elif what == "factor":
        first[0]["nsb"]["dark"] = -1.0
    elif what == "unit":
        files["air"]["atmospheres"]["thin"]["parameters"]["aerosol_scale_height"] = "1 kg"
    elif what == "telescope":
        first[0]["telescopes_unavailable"] = ["LST-1"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("overlap", r"site\.yaml: versions\[0\].*2026-01-01/2026-05-01.*2026-04-01.*overlap"),
        ("atmosphere", r"site\.yaml: versions\.0\.validity\.2\.atmosphere.*'thick'.*thin"),
        ("double version", r"two versions have the same version \(1\)"),
        ("double period", r"periods: 'spring' is defined twice"),
        ("double site", r"'CTAO-North' is in again\.yaml already"),
        ("reversed", r"versions\[0\]\.validity\[0\]\.interval.*does not end after"),
        ("key", r"validity\[0\]\.nbs: unknown key; did you mean 'nsb'"),
        ("factor", r"nsb\.dark: -1\.0 is out of range"),
        ("unit", r"atmospheres\.thin\.parameters\.aerosol_scale_height.*wrong unit"),
        ("telescope", r"telescopes_unavailable\[0\].*whole number"),
    ],
)
def test_mistakes_in_the_files(tmp_path, files, what, words):
    broken(files, what)
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=words):
        read_files(database.yaml_files(tmp_path))


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"conditions.folder"):
        lookup_conditions(ConditionsSettings(folder=tmp_path / "absent"), "CTAO-North", "spring")


def test_shared_sqlite(settings, tmp_path, files):
    """What is released can't change by accident."""
    from ctabatch.conditions.fill import fill

    url = f"sqlite:///{tmp_path}/shared.sqlite"
    shared = ConditionsSettings(url=url, version="1")
    with pytest.raises(InputError, match="no database file"):
        throughput(shared)
    engine = database.connect(url, create=True)
    content = read_files(database.yaml_files(settings.folder))
    assert len(fill(engine, content).added) == 6
    again = fill(engine, content)
    assert (again.added, again.replaced, len(again.present)) == ([], [], 6)
    assert throughput(shared) == 0.95

    files["site"]["versions"][0]["validity"][0]["optical_throughput"]["LST"] = 0.5
    (settings.folder / "site.yaml").write_text(yaml.safe_dump(files["site"]))
    changed = read_files(database.yaml_files(settings.folder))
    with pytest.raises(ConflictError, match=r"version 1 of CTAO-North.*--replace"):
        fill(engine, changed)
    assert throughput(shared) == 0.95
    assert fill(engine, changed, replace=True).replaced == ["version 1 of CTAO-North"]
    assert throughput(shared) == 0.5


def test_file_without_tables(tmp_path):
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(BatchError, match=r"no table of conditions.*conditions fill --url"):
        throughput(ConditionsSettings(url=f"sqlite:///{tmp_path}/empty.sqlite"))
