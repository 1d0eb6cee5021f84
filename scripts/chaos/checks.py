"""What must hold when a round is over."""

import contextlib
import json
import os
from pathlib import Path

import psutil

from ctabatch.files import is_temporary
from ctabatch.running import orphans

#: Folders of results whose files are temporary.
TEMPORARY = {
    "irf": {"runs", "dl2", "corsika", "simtel"},
    "reprocessing": {"dl0", "dl2", "models"},
    "analysis": {"cache", "reduced"},
}


def problems_of(world, number):
    """List what is wrong after a round; empty if nothing is."""
    return [
        *_products(world, number),
        *_lake(world),
        *_results(world, number),
        *_processes(world),
    ]


def _products(world, number):
    """Each product of this and of all earlier rounds is there, once."""
    for n in range(number + 1):
        if world.makes_irf(n):
            yield from _irf(world, world.round_name(n))
        obs_id = world.obs_id(n)
        rows = world.search(f"data__level = DL3 and instance__obs_id = {obs_id}")
        states = [row["dl3__status"] for row in rows]
        if states != ["valid"]:
            yield f"observation {obs_id} has DL3 {states}, not one valid"
            continue
        raw = world.search(f"data__level = DL0 and instance__obs_id = {obs_id}")
        if len(raw) != world.chunks or {row.get("dl0__dl3") for row in raw} != {rows[0]["did"]}:
            yield f"DL0 of observation {obs_id} does not name its DL3"
        found = world.search(f"analysis__name = {world.round_name(n)}")
        names = sorted(row["analysis__product"] for row in found)
        if n == 0:
            world.products = names
        if names != world.products or len(set(names)) != len(names) or not names:
            yield f"analysis of observation {obs_id} has products {names}, not {world.products}"
        if any(rows[0]["instance__id"] not in row["activity__inputs"] for row in found):
            yield f"analysis of observation {obs_id} does not name its DL3"


def _irf(world, name):
    plan = json.loads((world.folder / "results/irf" / name / "plan.json").read_text())
    rows = world.search(f"data__type = GridIRF and irf__request_digest = {plan['digest']}")
    states = [row["irf__status"] for row in rows]
    if states != ["valid"]:
        yield f"the request {name} has IRFs {states}, not one valid"


def _lake(world):
    report = world.verify()
    for did, fault in report["faults"].items():
        yield f"damaged: {did}: {fault}"
    for path in report["orphans"]:
        yield f"file in the lake that the catalogue does not know: {path}"
    for request in world.requests():
        yield f"staging request left: {request}"
    yield from world.leftovers()


def _results(world, number):
    for results in world.result_folders():
        for use_case in TEMPORARY:
            for path in _temporary_files(results / use_case / world.round_name(number), use_case):
                yield f"temporary file left: {path}"
    for name in ("locks", "incomplete"):
        folder = world.folder / ".snakemake" / name
        left = [path.name for path in folder.rglob("*") if path.is_file()]
        if left:
            yield f"Snakemake's {name} left: {left}"


def _temporary_files(top, use_case):
    temporary = TEMPORARY[use_case] | {".incoming"}
    for place, _, names in os.walk(top):
        parts = Path(place).relative_to(top).parts
        if parts[:1] in (("logs",), ("benchmarks",)):  # they have folders of the same names
            continue
        for name in names:
            if is_temporary(name) or set(parts) & temporary or parts[:2] == ("work", "dl3"):
                yield Path(place, name)


def _processes(world):
    for pid in orphans(str(world.folder.resolve())):
        with contextlib.suppress(psutil.Error):
            yield f"process left: {' '.join(psutil.Process(pid).cmdline())}"
