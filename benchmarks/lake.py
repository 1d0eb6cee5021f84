"""Benchmark of the embedded lake: ingest of small files, and search among many products.

Run ``python benchmarks/lake.py``. Baselines of the same run: for ingest a plain copy of the same
files with fsync, one after the other, without catalogue or verification; for search a scan of the
same metadata in memory by `Query.matches`.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from ctabatch.config.lake import LocalLakeSettings
from ctabatch.lake.base import NewFile
from ctabatch.lake.local import LocalLake
from ctabatch.lake.query import parse


def product(number):
    """Metadata as a DL3 product has them: 25 keys."""
    return {
        "data__level": "DL3" if number % 5 else "DL2",
        "data__type": "Observation",
        "data__division": "Event",
        "data__association": "Subarray",
        "instance__obs_id": 100_000 + number,
        "instance__subarray_id": number % 7,
        "instance__site_id": "CTAO-North" if number % 2 else "CTAO-South",
        "instance__id": f"6f9619ff-8b86-d011-b42d-{number:012d}",
        "instance__category": "C",
        "instance__facility_name": "CTAO",
        "proposal_id": f"P{number % 200}",
        "creation_time": f"2026-03-{1 + number % 28:02d}T22:{number % 60:02d}:00",
        "zenith": 10 + (number % 500) / 10,
        "curation__rights": "proprietary",
        **{f"activity__key_{key}": f"value {key} of {number % 100}" for key in range(11)},
    }


def make_files(folder, count, size):
    content = os.urandom(size)
    folder.mkdir()
    files = []
    for number in range(count):
        path = folder / f"f{number}.fits"
        path.write_bytes(content + number.to_bytes(4))
        did = f"test:/ctao.dpps.test/test/{number // 100}/f{number}.fits"
        files.append(NewFile(path, did, product(number)))
    return files


def plain_copy(files, folder):
    folder.mkdir()
    for item in files:
        target = folder / item.path.name
        shutil.copyfile(item.path, target)
        with target.open("rb+") as stream:
            os.fsync(stream.fileno())


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median(action, times=11):
    return statistics.median(seconds(action) for _ in range(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="files to ingest")
    parser.add_argument("--size", type=int, default=10_000, help="bytes of each")
    parser.add_argument("--products", type=int, default=50_000, help="products to search among")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files = make_files(work / "in", options.files, options.size)
        base = seconds(lambda: plain_copy(files, work / "copy"))
        lake = LocalLake(LocalLakeSettings(folder=work / "lake"))
        took = seconds(lambda: lake.ingest(files, dataset="test:/ctao.dpps.test/test/set"))
        print(
            f"ingest {len(files)} files of {options.size} bytes, 25 keys each: "
            f"{len(files) / took:.0f}/s "
            f"({base / took:.2f} times a plain copy with fsync, {len(files) / base:.0f}/s)"
        )
        again = seconds(lambda: lake.ingest(files))
        print(f"the same ingest again: {len(files) / again:.0f}/s")
        fetch = seconds(lambda: lake.fetch([item.did for item in files], work / "out"))
        print(f"fetch: {len(files) / fetch:.0f}/s")

        # The catalogue alone, as searching reads no files.
        rows = {
            f"test:/ctao.dpps.test/more/f{number}": product(number)
            for number in range(options.files, options.products)
        }
        catalogue = lake._catalogue
        with catalogue.transaction(write=True):
            catalogue.add_files(dict.fromkeys(rows, (1, "00010001")))
            catalogue.merge_metadata(rows)
        for text in (
            f"data__level = DL3 and instance__obs_id = {100_000 + options.products // 2 + 1}",
            "data__level = DL3 and proposal_id = P42 and instance__obs_id >= 110000",
            f"instance__obs_id >= {100_000 + options.products * 3 // 4}",
        ):
            query = parse(text)
            scan = seconds(lambda query=query: [m for m in rows.values() if query.matches(m)])
            took = median(lambda text=text: lake.search(text))
            print(
                f"search {text!r}: {len(lake.search(text))} of {options.products} products in "
                f"{1000 * took:.1f} ms ({scan / took:.1f} times as fast as a scan in memory)"
            )


if __name__ == "__main__":
    main()
