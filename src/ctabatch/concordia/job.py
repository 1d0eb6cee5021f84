"""What a worker needs to make runs: the plan, the image's record, where to fetch it, whom to trust."""

from dataclasses import dataclass
from pathlib import Path

from ctabatch.concordia.plan import PLAN_AGAIN, Plan
from ctabatch.config.concordia import ConcordiaRequest, Registry
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class Job:
    """The job description as a worker reads it.

    Parameters
    ----------
    plan : Plan
        What was planned.
    record : dict
        Record of the image, see `ctabatch.concordia.store`.
    registry : ctabatch.config.concordia.Registry or None
        Where the image is pulled from.
    cvmfs : pathlib.Path or None
        Folder that may hold it.
    keys : tuple of str
        Public keys in PEM form; one of them must have signed an image from elsewhere.
    """

    plan: Plan
    record: dict
    registry: Registry | None = None
    cvmfs: Path | None = None
    keys: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the image file."""
        return self.record["sha256"]

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Read ``job.json``; anything else is an `InputError`."""
        content = read_json(path)
        try:
            if content["format"] != FORMAT:
                raise BatchError(f"{path} was written by another version", "make it again")
            plan = Plan.parse(content["plan"], path)
            registry, cvmfs = content["registry"], content["cvmfs"]
            job = cls(
                plan,
                {"options_digest": plan.digest, **content["image"]},
                Registry(**registry) if registry else None,
                Path(cvmfs) if cvmfs else None,
                tuple(content["keys"]),
            )
            if not isinstance(job.sha256, str):
                raise TypeError("no SHA-256 of the image")
        except (KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"is no job description of concordia ({reason})", str(path)) from None
        return job


def write_job(request: ConcordiaRequest, plan_path: Path, record: dict, output: Path) -> dict:
    """Write the job description for the runs of a plan; it holds no secret.

    Parameters
    ----------
    request : ctabatch.config.concordia.ConcordiaRequest
        Gives registry, CVMFS folder and public keys.
    plan_path : pathlib.Path
        ``plan.json``.
    record : dict
        Record of the image that `ctabatch.concordia.build.obtain` returned.
    output : pathlib.Path
        ``job.json``.

    Raises
    ------
    ctabatch.errors.IntegrityError
        The image is another than the planned one.
    """
    plan = Plan.read(plan_path)
    if record["options_digest"] != plan.digest or plan.sha256 not in (None, record["sha256"]):
        raise IntegrityError("the image is another than the one that was planned", PLAN_AGAIN)
    images = request.images
    content = {
        "format": FORMAT,
        "plan": read_json(plan_path),
        "image": {"sha256": record["sha256"], "bytes": record["bytes"]},
        "registry": images.registry.model_dump(mode="json") if images.registry else None,
        "cvmfs": str(images.cvmfs.absolute()) if images.cvmfs else None,
        "keys": [_public(key) for key in images.keys.trusted],
    }
    write_json(output, content)
    return content


def _public(key: Path) -> str:
    try:
        text = key.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    # A private key named by mistake must not travel.
    if not text.startswith("-----BEGIN PUBLIC KEY-----") or "PRIVATE" in text:
        raise InputError(f"{key} is no public key", "concordia.images.keys.trusted", "a PEM file")
    return text
