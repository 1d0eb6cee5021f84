"""The closing summary: products, where they lie, how long it took and what it cost."""

import csv
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from ctabatch.files import read_json, write_json
from ctabatch.irf.cost import load_costs, refresh_costs
from ctabatch.plans import finished

#: Snakemake samples a job each half second for so long, and then so seldom, in s.
_OFTEN_S, _SELDOM_S = 15.5, 30.0


def summarise(plan_path: Path, output: Path, folder: Path | None = None) -> dict:
    """Sum up a finished production and refresh the cost table with what it took.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``; ``benchmarks/`` lies beside it.
    output : pathlib.Path
        ``summary.json``.
    folder : pathlib.Path, optional
        Where products and ``ingest.json`` lie; beside the plan by default. Where the plan came out
        of a remote storage, a copy of it is kept there.
    """
    plan, beside = read_json(plan_path), Path(plan_path).parent
    folder = beside if folder is None else folder
    measured = read_benchmarks(beside / "benchmarks")
    if not (folder / "plan.json").exists():
        write_json(folder / "plan.json", plan)
    ingest = read_json(folder / "ingest.json")
    cpu_s = sum(row["cpu_s"] for rows in measured.values() for row in rows)
    started = datetime.fromisoformat(plan["created"]).replace(tzinfo=UTC).timestamp()
    content = {
        "name": plan["name"],
        "digest": plan["digest"],
        "products": {
            variant: {"file": str(folder / f"{name}.fits.gz"), "did": ingest["products"][variant]}
            for variant, name in plan["products"].items()
        },
        "rse": ingest["rse"],
        "report": str(folder / "report.html"),
        "disclaimer": plan["disclaimer"],
        "jobs": sum(len(rows) for rows in measured.values()),
        "showers": plan["cost"]["showers"],
        "cpu_hours": cpu_s / 3600,
        "planned_cpu_hours": plan["cost"]["cpu_hours"],
        "largest_memory_mb": max(
            (row["memory_mb"] for rows in measured.values() for row in rows), default=None
        ),
        "wall_hours": (datetime.now(UTC).timestamp() - started) / 3600,
    }
    refresh_costs(costs_of(measured, plan, folder))
    write_json(output, content)
    return content


def read_benchmarks(folder: Path) -> dict[str, list[dict]]:
    """Read Snakemake's benchmark files: name of the step -> rows with file, cpu_s, memory_mb.

    The CPU time is corrected for Snakemake's sampling, see `cpu_seconds`.
    """
    found = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        step = path.parent.name if path.parent != folder else path.stem
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                found[step].append(
                    {
                        "file": path.stem,
                        "cpu_s": cpu_seconds(_number(row.get("s")), _number(row.get("cpu_time"))),
                        "memory_mb": _number(row.get("max_rss")),
                    }
                )
    return dict(found)


def cpu_seconds(wall: float, sampled: float) -> float:
    """CPU time of a job from Snakemake's benchmark, which misses what comes after its last sample.

    Snakemake 9.27 looks at a job each half second, 31 times, and then each half minute (its issue
    #851): of a job of 40 s it knows the first 15 s. The rest is taken to use the CPU as much as
    what was seen.

    Parameters
    ----------
    wall : float
        Duration of the job in s.
    sampled : float
        CPU time at the last sample in s.

    Returns
    -------
    float
        CPU time in s.
    """
    seen = _OFTEN_S + _SELDOM_S * ((wall - _OFTEN_S) // _SELDOM_S) if wall > _OFTEN_S else wall
    return sampled * wall / seen if seen else sampled


def costs_of(measured: dict[str, list[dict]], plan: dict, folder: Path) -> dict:
    """Turn measurements into entries of the cost table, see `ctabatch.irf.cost.load_costs`."""
    known, entries = load_costs(), {}
    by_particle = defaultdict(list)
    for row in measured.get("process", []):
        by_particle[row["file"].split("_")[-2]].append(row["cpu_s"])
    for particle, seconds in by_particle.items():
        name = f"process/{particle}"
        per_run = plan["production"]["nominal"][particle]["irf"]["showers_per_run"]
        start = known[name]["cpu_s_start"]
        entries[name] = {"cpu_s_per_shower": max(median(seconds) - start, 0.1) / per_run}
    for step in ("merge", "apply", "train_energy", "train_classifier", "cuts", "irf"):
        if measured.get(step):
            entries[step] = {"cpu_s": median(row["cpu_s"] for row in measured[step])}
    return entries


def read_summary(folder: Path) -> dict:
    """Read the summary of a folder of results, whether simulated or fetched."""
    names = ("summary.json", "fetched.json")
    return read_json(finished(folder, "irf show", "a folder below results/irf", *names))


def describe_summary(content: dict) -> str:
    """Say in a few lines what came out."""
    lines = []
    if "files" in content:
        lines.append("the product existed already in the data lake; nothing was simulated")
        lines += [f"product    {path}" for path in content["files"]]
        lines += [f"in lake    {did}" for did in content["products"].values()]
        return "\n".join(lines)
    for item in content["products"].values():
        lines.append(f"product    {item['file']}")
        lines.append(f"in lake    {item['did']} on {content['rse']}")
    lines.append(f"report     {content['report']}")
    lines.append(
        f"cost       {content['cpu_hours']:.2g} CPU hours (planned "
        f"{content['planned_cpu_hours']:.2g}) in {content['wall_hours']:.2g} hours, "
        f"{content['jobs']} jobs, {content['showers']:,} showers"
    )
    if content["disclaimer"]:
        lines.append(f"note       {content['disclaimer']}")
    return "\n".join(lines)


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0
