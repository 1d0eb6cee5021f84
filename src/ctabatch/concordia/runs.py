"""One run: the program's input card, the program in its image, and the record that proves it."""

import hashlib
import platform
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml

from ctabatch.concordia import apptainer
from ctabatch.concordia.card import ShowerCard
from ctabatch.concordia.cards import product_name, render, seeds
from ctabatch.concordia.job import Job
from ctabatch.concordia.node import image_of
from ctabatch.concordia.plan import PLAN_AGAIN, Plan
from ctabatch.concordia.recipe import Recipe
from ctabatch.concordia.store import Store
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import read_json, replacing, write_json

RECORD = "run.json"
#: Written by the run script; not a product.
EVIDENCE = "build_opts.yml"
CHUNK = 1 << 20


class RunFailed(BatchError):  # noqa: N818 - names what happened to the run
    """The program of a run ended with an error or without output."""


def execute(
    image: Path, recipe: Recipe, card: ShowerCard, block: int, run: int, work: Path
) -> Path:
    """Run the program of an image once; returns the folder with its output.

    Parameters
    ----------
    image : pathlib.Path
        Image.
    recipe : Recipe
        Its program.
    card : ShowerCard
        The showers.
    block, run : int
        Seed block and run number.
    work : pathlib.Path
        Empty folder, all that the program can write to; gets ``card``, ``out`` and ``log``.

    Raises
    ------
    RunFailed
        Tells the end of the program's output.
    """
    (work / "card").write_text(render(recipe, card, block, run), encoding="utf-8")
    code = apptainer.run(image, work, ["/work/card", "/work/out"], work / "log")
    out = work / "out"
    if code:
        tail = (work / "log").read_text(errors="replace").strip().splitlines()[-3:]
        raise RunFailed(f"run {run} ended with exit code {code}: {' / '.join(tail)[-500:]}")
    product = out / product_name(recipe, run)
    if not product.is_file() or not product.stat().st_size:
        raise RunFailed(f"run {run} ended well, but wrote no {product.name}")
    return out


def _checksums(path: Path) -> dict:
    sha, adler, size = hashlib.sha256(), 1, 0
    with path.open("rb") as stream:
        while data := stream.read(CHUNK):
            sha.update(data)
            adler = zlib.adler32(data, adler)
            size += len(data)
    return {"name": path.name, "bytes": size, "sha256": sha.hexdigest(), "adler32": f"{adler:08x}"}


def check_outputs(folder: Path, record: dict) -> None:
    """Read the outputs of a run again; an `IntegrityError` names the first that changed."""
    for noted in record["outputs"]:
        path = folder / noted["name"]
        if not path.is_file() or _checksums(path) != noted:
            raise IntegrityError(f"{path} is missing, or not what the run wrote")


def perform(plan: Plan, run: int, out: Path) -> dict:
    """Make one run of a plan with the image of the local store; returns its record.

    Parameters
    ----------
    plan : Plan
        What was planned.
    run : int
        Run number.
    out : pathlib.Path
        Folder of the run; appears complete or not at all. A failed run leaves ``<out>.log``. Done
        already, it is only checked.

    Raises
    ------
    ctabatch.errors.BatchError
        The image is gone or another, or the program fails.
    """
    _planned(plan, run)
    store = Store(plan.store)
    record = store.find(plan.digest)
    if record is None:
        raise BatchError(
            f"image {plan.digest[:12]} is not in {plan.store}",
            "run 'cta-batch concordia build' (again)",
        )
    wanted = record["sha256"]
    if plan.sha256 not in (None, wanted):
        raise IntegrityError("the image is another than the one that was planned", PLAN_AGAIN)
    return _once(plan, run, out, wanted, lambda: store.verified(plan.digest, wanted))


def perform_job(job: Job, run: int, out: Path) -> dict:
    """Make one run of a job description, as `perform` does, with the image of this node."""
    _planned(job.plan, run)
    return _once(job.plan, run, out, job.sha256, lambda: image_of(job))


def pack(folder: Path, archive: Path) -> None:
    """Put the folder of a run into a tar archive, which holds it under its own name."""
    with replacing(archive) as temporary, tarfile.open(temporary, "w") as stream:
        stream.add(folder, folder.name)


def _planned(plan: Plan, run: int) -> None:
    if not plan.first_run <= run <= plan.last_run:
        raise InputError(
            f"run {run} is not in the plan", "--run", f"{plan.first_run} to {plan.last_run}"
        )


def _once(plan: Plan, run: int, out: Path, sha256: str, image: Callable[[], Path]) -> dict:
    if (out / RECORD).exists():
        done = read_json(out / RECORD)
        wanted = {"run": run, "image_sha256": sha256, "request_digest": plan.request_digest}
        if {key: done.get(key) for key in wanted} == wanted:
            check_outputs(out, done)
            return done
    return _perform(plan, run, out, image(), sha256)


def _perform(plan: Plan, run: int, out: Path, image: Path, sha256: str) -> dict:
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.with_name(f"{out.name}.log")
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        work = Path(name)
        begin = datetime.now(UTC)
        try:
            made = execute(image, plan.recipe, plan.card, plan.seed_block, run, work)
        except RunFailed:
            shutil.copyfile(work / "log", log)
            raise
        end = datetime.now(UTC)
        inside = yaml.safe_load((made / EVIDENCE).read_text())
        if inside.get("options_digest") != plan.digest:
            raise IntegrityError(f"{image} says from inside that it is the image of other options")
        for item in ("card", "log"):
            shutil.copyfile(work / item, made / item)
        record = {
            "request": plan.name,
            "run": run,
            "seed_block": plan.seed_block,
            "seeds": seeds(plan.seed_block, run),
            "options_digest": plan.digest,
            "request_digest": plan.request_digest,
            "image_sha256": sha256,
            "program": f"{plan.recipe.code} {plan.recipe.resolved_version()}",
            "product": product_name(plan.recipe, run),
            "start": begin.isoformat(timespec="seconds"),
            "end": end.isoformat(timespec="seconds"),
            "seconds": round((end - begin).total_seconds(), 3),
            "host": platform.node(),
            "outputs": [_checksums(path) for path in sorted(made.iterdir()) if path.is_file()],
        }
        write_json(made / RECORD, record)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
        log.unlink(missing_ok=True)
    return record
