"""One run: the program's input card, the program in its image, and the record that proves it."""

import hashlib
import shutil
import tempfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import yaml

from ctabatch.concordia import apptainer
from ctabatch.concordia.card import ShowerCard
from ctabatch.concordia.cards import render, seeds
from ctabatch.concordia.plan import Plan
from ctabatch.concordia.recipe import Recipe
from ctabatch.concordia.store import Store
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import read_json, write_json

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
    made = [path for path in out.iterdir() if path.name != EVIDENCE and path.stat().st_size]
    if not made:
        raise RunFailed(f"run {run} ended well, but wrote nothing")
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


def perform(
    plan: Plan, run: int, out: Path, image: Path | None = None, record: dict | None = None
) -> dict:
    """Make one run of a plan; done already, it is only checked. Returns its record.

    Parameters
    ----------
    plan : Plan
        What was planned.
    run : int
        Run number.
    out : pathlib.Path
        Folder of the run; appears complete or not at all. A failed run leaves ``<out>.log``.
    image : pathlib.Path, optional
        Image file, on a worker without the store.
    record : dict, optional
        Record of the image (``image.json``); that of the store by default.

    Raises
    ------
    ctabatch.errors.BatchError
        The image is gone or another, or the program fails.
    """
    if not plan.first_run <= run <= plan.last_run:
        raise InputError(
            f"run {run} is not in the plan", "--run", f"{plan.first_run} to {plan.last_run}"
        )
    store = Store(plan.store)
    record = record or store.find(plan.digest)
    if record is None:
        raise BatchError(
            f"image {plan.digest[:12]} is not in {plan.store}",
            "run 'cta-batch concordia build' (again)",
        )
    wanted = record["sha256"]
    if record["options_digest"] != plan.digest or plan.sha256 not in (None, wanted):
        raise IntegrityError("the image is another than the one that was planned", "plan again")
    if image is None:
        image = store.verified(plan.digest, wanted)
    elif _checksums(image)["sha256"] != wanted:
        raise IntegrityError(f"{image} is not the image that its record describes")
    if (out / RECORD).exists():
        done = read_json(out / RECORD)
        if done.get("run") == run and done.get("image_sha256") == wanted:
            check_outputs(out, done)
            return done
    return _perform(plan, run, out, image, wanted)


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
            "image_sha256": sha256,
            "program": f"{plan.recipe.code} {plan.recipe.resolved_version()}",
            "start": begin.isoformat(timespec="seconds"),
            "seconds": round((end - begin).total_seconds(), 3),
            "outputs": [_checksums(path) for path in sorted(made.iterdir()) if path.is_file()],
        }
        write_json(made / RECORD, record)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
        log.unlink(missing_ok=True)
    return record
