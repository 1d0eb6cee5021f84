"""The manifest of a request: which image made each run, and which runs are missing."""

from collections.abc import Iterator
from pathlib import Path

from ctabatch.concordia.plan import Plan
from ctabatch.concordia.runs import RECORD, check_outputs
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import read_json


def collect(plan: Plan, folders: list[Path]) -> tuple[dict, list[int]]:
    """Check the records of all runs against the plan and against each other.

    Parameters
    ----------
    plan : Plan
        What was planned.
    folders : list of pathlib.Path
        Folders of runs, or folders that hold such; those without a record count as missing. In the
        latter, runs that are not in the plan are left alone.

    Returns
    -------
    manifest : dict
        All runs with their image, seeds and outputs.
    missing : list of int
        Numbers of the runs that are to be made (again).

    Raises
    ------
    ctabatch.errors.IntegrityError
        A run was made by another image, its output changed, or two runs share a seed.
    """
    found: dict[int, dict] = {}
    used: dict[int, int] = {}
    images: set[str] = set()
    for folder in _expanded(plan, folders):
        if not (folder / RECORD).exists():
            continue
        record = read_json(folder / RECORD)
        run = _checked(plan, folder, record, found)
        for seed in record["seeds"]:
            if used.setdefault(seed, run) != run:
                raise IntegrityError(f"runs {used[seed]} and {run} share the random seed {seed}")
        images.add(record["image_sha256"])
        found[run] = {**record, "folder": str(folder)}
    if len(images) > 1:
        raise IntegrityError(f"runs were made by {len(images)} different images", "make them again")
    numbers = range(plan.first_run, plan.last_run + 1)
    manifest = {
        "name": plan.name,
        "options_digest": plan.digest,
        "request_digest": plan.request_digest,
        "image_sha256": next(iter(images), None),
        "seed_block": plan.seed_block,
        "first_run": plan.first_run,
        "runs": plan.runs,
        "showers": plan.card.showers_per_run * len(found),
        "bytes": sum(item["bytes"] for record in found.values() for item in record["outputs"]),
        "records": [found[run] for run in sorted(found)],
    }
    return manifest, [run for run in numbers if run not in found]


def _expanded(plan: Plan, folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        if (folder / RECORD).exists() or not folder.is_dir():
            yield folder
            continue
        for path in sorted(folder.iterdir()):
            if path.name.isdecimal() and plan.first_run <= int(path.name) <= plan.last_run:
                yield path


def _checked(plan: Plan, folder: Path, record: dict, found: dict[int, dict]) -> int:
    try:
        run, digest, sha256 = record["run"], record["options_digest"], record["image_sha256"]
        check_outputs(folder, record)
    except (KeyError, TypeError):
        raise InputError("is no record of a run", str(folder / RECORD)) from None
    if digest != plan.digest or plan.sha256 not in (None, sha256):
        raise IntegrityError(f"{folder} was made by another image than the planned one")
    if record.get("request_digest") != plan.request_digest:
        raise IntegrityError(f"{folder} was made with another card or other seeds than planned")
    if run in found:
        raise IntegrityError(f"run {run} is there twice: {found[run]['folder']} and {folder}")
    if not plan.first_run <= run <= plan.last_run:
        raise IntegrityError(f"{folder} holds run {run}, which is not in the plan")
    return run


def ranges(numbers: list[int]) -> str:
    """Write run numbers briefly: ``3, 7-9``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


class Incomplete(BatchError):  # noqa: N818 - a state, not a mistake
    """Runs are missing; they alone are to be made again."""
