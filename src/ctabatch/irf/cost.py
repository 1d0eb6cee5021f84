"""What a production costs: CPU time, disk space and jobs, from measured costs that runs refresh.

The table that ships with the package was measured on one machine; each finished production adds its
own measurements to a table of the user, which then wins.
"""

from pathlib import Path

from filelock import FileLock
from platformdirs import user_data_path

from ctabatch.files import read_json, write_json
from ctabatch.irf.tree import levels

_SHIPPED = Path(__file__).with_name("data") / "costs.json"

#: Weight of a new measurement against what the table says; the speed of machines drifts.
_WEIGHT = 0.5


def table_path() -> Path:
    """Path of the user's cost table."""
    return user_data_path("ctabatch") / "costs.json"


def load_costs() -> dict[str, dict[str, float]]:
    """Return the cost table: rule or ``rule/particle`` -> costs.

    Entries of simulating rules hold ``cpu_s_start`` (fixed), ``cpu_s_per_shower``,
    ``bytes_per_shower`` (DL2); the others ``cpu_s``, for a job.
    """
    costs = read_json(_SHIPPED)
    if table_path().is_file():
        for name, entry in read_json(table_path()).items():
            costs[name] = costs.get(name, {}) | entry
    return costs


def refresh_costs(measured: dict[str, dict[str, float]]) -> None:
    """Mix measurements of a run into the user's table; safe from several processes at once."""
    path = table_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known, mine = load_costs(), read_json(path) if path.is_file() else {}
        for name, entry in measured.items():
            old = known.get(name, {})
            mine[name] = {
                key: float(f"{_WEIGHT * value + (1 - _WEIGHT) * old.get(key, value):.4g}")
                for key, value in entry.items()
            }
        write_json(path, mine)


def estimate(production: dict, merge_files: int) -> dict:
    """Estimate the cost of a production.

    Parameters
    ----------
    production : dict
        As `ctabatch.irf.production.runs_of` returns it.
    merge_files : int
        Most files a merge job reads.

    Returns
    -------
    dict
        ``cpu_hours``, ``storage_bytes``, ``jobs``, ``showers``, and ``by_step`` with the jobs and
        CPU hours of each kind of job.
    """
    costs = load_costs()
    steps: dict[str, dict[str, float]] = {}
    showers_total, storage = 0, 0.0

    def add(step, jobs, cpu_s):
        entry = steps.setdefault(step, {"jobs": 0, "cpu_hours": 0.0})
        entry["jobs"] += jobs
        entry["cpu_hours"] += cpu_s / 3600

    for variant, particles in production.items():
        for particle, samples in particles.items():
            entry = costs[f"process/{particle}"]
            for sample, numbers in samples.items():
                runs = numbers["runs"]
                showers = runs * numbers["showers_per_run"]
                showers_total += showers
                # runs and their merged copy exist at the same time
                storage += 2 * showers * entry["bytes_per_shower"]
                add(
                    f"process/{particle}",
                    runs,
                    runs * entry["cpu_s_start"] + showers * entry["cpu_s_per_shower"],
                )
                chunks, *upper = levels(runs, merge_files)
                trees = 2 if (particle, sample) == ("gamma", "train") else 1
                merges = chunks + trees * sum(upper)
                add("merge", merges, merges * costs["merge"]["cpu_s"])
                add("apply", chunks, chunks * costs["apply"]["cpu_s"])
        add("irf", 1, costs["irf"]["cpu_s"])
        if variant == "nominal":
            for step in ("train_energy", "train_classifier", "cuts"):
                add(step, 1, costs[step]["cpu_s"])
    return {
        "cpu_hours": sum(entry["cpu_hours"] for entry in steps.values()),
        "storage_bytes": round(storage),
        "jobs": sum(entry["jobs"] for entry in steps.values()),
        "showers": showers_total,
        "by_step": steps,
    }
