"""The end of a reprocessing: index files, and a summary for people and programs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ctabatch.dl3.index import write_index
from ctabatch.files import read_json, write_json
from ctabatch.irf.cost import load_costs, refresh_costs
from ctabatch.irf.summary import read_benchmarks
from ctabatch.lake.base import DataLake
from ctabatch.plans import finished
from ctabatch.reprocessing.cost import events_of
from ctabatch.reprocessing.products import record


def index(lake: DataLake, plan_path: Path, folder: Path) -> list[Path]:
    """Write the index files of all DL3 of a request; those that existed are fetched.

    Also notes what an earlier run may not have come to note, see `ctabatch.reprocessing.products`.

    Parameters
    ----------
    lake : DataLake
        Where the existing products are.
    plan_path : pathlib.Path
        ``plan.json``.
    folder : pathlib.Path
        Folder of the DL3 files and of the index.

    Returns
    -------
    list of pathlib.Path
        The DL3 files.
    """
    plan, folder = read_json(plan_path), Path(folder)
    record(lake, {item["existing"]: item for item in plan["existing"].values()})
    paths = [folder / f"{key}.dl3.fits.gz" for key in plan["observations"]]
    if plan["existing"]:
        dids = {item["existing"]: key for key, item in plan["existing"].items()}
        work = folder / ".incoming"
        for did, path in lake.fetch(list(dids), work).items():
            target = folder / f"{dids[did]}.dl3.fits.gz"
            path.replace(target)
            paths.append(target)
        work.rmdir()
    write_index(paths, folder)
    return sorted(paths)


def summarise(plan_path: Path, output: Path, benchmarks: Path | None = None) -> dict[str, Any]:
    """Sum up a finished reprocessing, and refresh the cost table with what it took.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``; the results lie beside it.
    output : pathlib.Path
        JSON file to write.
    benchmarks : pathlib.Path, optional
        Folder of Snakemake's benchmark files; beside the plan by default.
    """
    plan, folder = read_json(plan_path), Path(plan_path).parent
    made = [read_json(folder / "ingest" / f"{key}.json") for key in plan["observations"]]
    measured = read_benchmarks(benchmarks or folder / "benchmarks")
    cpu_s = sum(row["cpu_s"] for rows in measured.values() for row in rows)
    content = {
        "name": plan["name"],
        "digest": plan["digest"],
        "made": {item["observation"]: item["did"] for item in made},
        "existing": {key: item["existing"] for key, item in plan["existing"].items()},
        "skipped": plan["skipped"],
        "superseded": sorted(did for item in made for did in item["superseded"]),
        "events": sum(item["events"] for item in made),
        "livetime_s": sum(item["livetime_s"] for item in made),
        "dl0": plan["volume"],
        "waves": len(plan["waves"]),
        "index": str(folder / "dl3"),
        "cleaned": read_json(folder / "clean.json"),
        "cpu_hours": cpu_s / 3600,
        "planned_cpu_hours": plan["cost"]["cpu_hours"],
        "wall_hours": (datetime.now(UTC).timestamp() - Path(plan_path).stat().st_mtime) / 3600,
    }
    refresh_costs(_costs_of(measured, plan))
    write_json(output, content)
    return content


def _costs_of(measured: Mapping[str, list[dict]], plan: Mapping[str, Any]) -> dict[str, dict]:
    """Turn measurements into entries of the cost table, see `ctabatch.irf.cost.load_costs`."""
    chunks = [chunk for item in plan["observations"].values() for chunk in item["chunks"]]
    events = {chunk["key"]: events_of(chunk) for chunk in chunks}
    entries: dict[str, dict] = {}
    rows = [row for row in measured.get("process", []) if events.get(row["file"])]
    if rows:
        start = load_costs()["reprocess"]["cpu_s_start"]
        seconds = sum(max(row["cpu_s"] - start, 0) for row in rows)
        total = sum(events[row["file"]] for row in rows)
        entries["reprocess"] = {"cpu_s_per_event": max(seconds / total, 1e-4)}
    if measured.get("dl3"):
        rows = measured["dl3"]
        entries["dl3"] = {"cpu_s": sum(row["cpu_s"] for row in rows) / len(rows)}
    return entries


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of a folder of results."""
    return read_json(finished(folder, "reprocessing show", "a folder below results/reprocessing"))
