"""Benchmark of the Rucio lake on a server of its own: ingest, search and staging.

Run ``python benchmarks/rucio.py`` after ``make stack-install``. Baselines of the same run are what
Rucio's own client offers: `UploadClient` for ingest, a bare ``list_dids`` (names only) and
``list_dids`` with ``get_metadata_bulk`` (the same content) for search, and a bare replication rule
for staging.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# In the place of this folder, whose rucio.py would hide Rucio's own package.
sys.path[0] = str(PROJECT / "scripts/stack")

import common  # noqa: E402
import rucio_part  # noqa: E402

from ctabatch.config.lake import LakeSettings  # noqa: E402
from ctabatch.lake.base import NewFile  # noqa: E402
from ctabatch.lake.query import parse  # noqa: E402
from ctabatch.lake.rucio import RucioLake  # noqa: E402
from ctabatch.lake.rucio_filters import filters  # noqa: E402
from ctabatch.lake.rucio_session import chunks, did_dict  # noqa: E402

ROOT = "/ctao.dpps.test/dpps"
DISK, TAPE = "CTAO-DISK", "CTAO-TAPE"

#: Copies one product so often that the catalogue has as many as asked for, with their own obs_id.
FILL = """
insert into rucio.dids select (jsonb_populate_record(d, jsonb_build_object('name', d.name || i))).*
  from rucio.dids d, generate_series(1, {count}) i where d.name = '{name}';
insert into rucio.did_meta select (jsonb_populate_record(m, jsonb_build_object('name', m.name || i,
  'meta', m.meta::jsonb || jsonb_build_object('instance__obs_id', 1000000 + i)))).*
  from rucio.did_meta m, generate_series(1, {count}) i where m.name = '{name}';
analyze rucio.dids; analyze rucio.did_meta;
"""


def open_lake(env):
    """Lake on the server of a stack."""
    rucio = {"host": env["RUCIO_HOST"], "account": "operator"}
    rucio["password_file"] = Path(env["RUCIO_PASSWORDS"]) / "operator"
    return RucioLake(
        LakeSettings.model_validate(
            {"backend": "rucio", "scope": "dpps", "default_rse": DISK, "rucio": rucio}
        )
    )


def make_files(folder, name, count, size):
    """Files with the metadata of DL3 products."""
    folder = folder / name
    folder.mkdir()
    files = []
    for number in range(count):
        path = folder / f"{name}{number}.fits"
        path.write_bytes(os.urandom(size))
        metadata = {
            "data__level": "DL3",
            "instance__obs_id": number,
            "instance__site_id": "CTAO-North",
            "proposal_id": f"P{number % 200}",
            "creation_time": "2026-03-01T22:00:00",
            "zenith": 10 + number % 50,
        }
        files.append(NewFile(path, f"dpps:{ROOT}/{name}/{path.name}", metadata))
    return files


def seconds(action):
    """Wall time of an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ingest(lake, folder, count, size):
    """Files a second, against Rucio's own upload: the faster of one before and one after."""
    from rucio.client.uploadclient import UploadClient

    def upload(name, number):
        uploader = UploadClient(lake.session._connected())
        uploader.tracing = False
        items = [
            {
                "path": str(item.path),
                "rse": DISK,
                "did_scope": "dpps",
                "did_name": item.did.partition(":")[2],
            }
            for item in make_files(folder, name, number, size)
        ]
        return number / seconds(lambda: uploader.upload(items))

    few = max(count // 20, 10)
    # A server that has just started is slow at first: neither side pays for that.
    upload("warm", 20)
    lake.ingest(make_files(folder, "warmer", 20, size))
    rates = [upload("before", few)]
    files = make_files(folder, "ingest", count, size)
    ours = count / seconds(lambda: lake.ingest(files, dataset=f"dpps:{ROOT}/ingest/all"))
    rates.append(upload("after", few))
    print(
        f"ingest: {ours:.0f} files/s of {count} files with {size} bytes, verified and with "
        f"metadata; UploadClient {rates[0]:.1f} before and {rates[1]:.1f} files/s after, of {few} "
        f"files without; ratio {ours / max(rates):.1f}"
    )


def search(lake, env, name, products):
    """Time of searches among many products, against the bare calls."""
    sql = FILL.format(count=products, name=name)
    subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", env["RUCIO_DATABASE"], "-c", sql], check=True
    )
    call = lake.session.call
    for query in (
        f"instance__obs_id = {1_000_000 + products // 2}",
        f"instance__obs_id >= {1_000_000 + products // 2}"
        f" and instance__obs_id < {1_000_020 + products // 2}",
        f"data__level = DL3 and instance__obs_id > {1_000_000 + products - 1000}",
    ):
        piece = next(filters(parse(query)))

        def names(piece=piece):
            return call("list_dids", "dpps", piece, did_type="file")

        def content(names=names):
            for chunk in chunks(names()):
                rows = [did_dict(f"dpps:{name}") for name in chunk]
                call("get_metadata_bulk", rows, plugin="ALL")

        def ours(query=query):
            return lake.search(query)

        times = {action: [] for action in (names, content, ours)}
        for _ in range(9):
            for action, taken in times.items():
                taken.append(seconds(action))
        bare, full, own = (statistics.median(taken) for taken in times.values())
        print(
            f"search: {len(ours())} of {products} products in {own * 1000:.0f} ms; list_dids "
            f"{bare * 1000:.0f} ms, ratio {own / bare:.2f}; list_dids and get_metadata_bulk "
            f"{full * 1000:.0f} ms, ratio {own / full:.2f}"
        )


def staging(lake, folder, count, size):
    """Wall time until files of a tape are on disk, against a bare rule."""
    sets = {name: f"dpps:{ROOT}/{name}/all" for name in ("bare", "ours")}
    for name, dataset in sets.items():
        lake.ingest(make_files(folder, name, count, size), dataset=dataset, rse=TAPE)
    calls = []
    call = lake.session.call

    def counted(method, *args, **options):
        calls.append(method)
        return call(method, *args, **options)

    def bare():
        rows = [did_dict(sets["bare"])]
        rule = call("add_replication_rule", rows, 1, DISK, lifetime=3600, grouping="DATASET")[0]
        while call("get_replication_rule", rule)["state"] != "OK":
            time.sleep(0.2)

    base = seconds(bare)
    lake.session.call = counted
    own = seconds(lambda: lake.wait(lake.stage([sets["ours"]], rse=DISK, lifetime=3600)))
    lake.session.call = call
    print(
        f"staging: {count} files in {own:.1f} s with {calls.count('add_replication_rule')} rule "
        f"call; a bare rule {base:.1f} s, ratio {own / base:.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="files to ingest")
    parser.add_argument("--size", type=int, default=10_000, help="bytes of each")
    parser.add_argument("--products", type=int, default=50_000, help="products to search among")
    parser.add_argument("--staged", type=int, default=200, help="files to stage")
    options = parser.parse_args()
    state = common.State("rucio", f"benchmark-{os.getpid()}")
    state.make()
    try:
        rucio_part.up(state)
        env = state.env()
        # The upload client reads host and policy from a settings file.
        os.environ["RUCIO_CONFIG"] = env["RUCIO_CONFIG"]
        lake = open_lake(env)
        with tempfile.TemporaryDirectory() as folder:
            ingest(lake, Path(folder), options.files, options.size)
            staging(lake, Path(folder), options.staged, options.size)
            search(lake, env, f"{ROOT}/ingest/ingest0.fits", options.products)
    finally:
        rucio_part.down(state)
        state.purge()


if __name__ == "__main__":
    main()
