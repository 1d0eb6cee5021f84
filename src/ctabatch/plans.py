"""What the plans of all use cases share: their head, their folder, and the limits they must keep."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ctabatch import __version__
from ctabatch.config.limits import Limits
from ctabatch.errors import InputError
from ctabatch.files import read_json, write_json

#: Format of ``plan.json``.
PLAN_FORMAT = 1


def head(request, digest: str, software: Mapping[str, str]) -> dict[str, Any]:
    """First entries of a plan.

    Parameters
    ----------
    request : ctabatch.config.base.Section
        What a person asks for; it has a ``name``.
    digest : str
        Identity of the request.
    software : Mapping
        Versions of the software that makes the products, beside this package's.
    """
    return {
        "format": PLAN_FORMAT,
        "name": request.name,
        "digest": digest,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "software": {"ctabatch": __version__, **software},
        "request": json.loads(request.model_dump_json()),
    }


def check_folder(folder: Path) -> None:
    """Make the folder of the results, or say why it can't be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"can't write to {folder}: {error.strerror}", "results", "a folder that can be written"
        ) from None


def claim_folder(
    path: Path, plan: Mapping[str, Any], key: str, identity: Mapping[str, Any], note: str = ""
) -> None:
    """Write ``request.json`` beside a plan: which request the folder belongs to.

    Parameters
    ----------
    path : pathlib.Path
        Where the plan will be written.
    plan : Mapping
        The plan.
    key : str
        Key of the configuration that gives the name, for messages.
    identity : Mapping
        By what two requests of the same name are told apart.
    note : str
        What the message adds.

    Raises
    ------
    ctabatch.errors.InputError
        The folder holds results of another request of the same name.
    """
    owner = path.with_name("request.json")
    if owner.is_file():
        before = read_json(owner)
        if any(before[name] != value for name, value in identity.items()):
            if "digest" in identity:
                note = f" (digest {before['digest'][:12]}, this one {plan['digest'][:12]}){note}"
            raise InputError(
                f"{path.parent} holds results of another request of the name "
                f"{plan['name']!r}{note}",
                key,
                "a name that is not in use, or remove that folder",
            )
    write_json(owner, {"name": plan["name"], **identity})


def finished(folder: Path, command: str, allowed: str, *names: str) -> Path:
    """Return the file that tells how a finished request went.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of results.
    command, allowed : str
        Who asks and what could be given, for the message.
    *names : str
        Files to look for, in order; ``summary.json`` by default.

    Raises
    ------
    ctabatch.errors.InputError
        There is none of them.
    """
    for name in names or ("summary.json",):
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise InputError(f"{folder} holds no finished request", command, allowed)


def passed_limit(limits: Limits, cost: Mapping[str, float]) -> tuple[str, float, float, str] | None:
    """Key, value, limit and unit of the first limit that a cost passes; None if it keeps them all."""
    for key, value, limit, unit in (
        ("cpu_hours", cost["cpu_hours"], limits.cpu_hours, "CPU hours"),
        ("storage", cost["storage_bytes"] / 1e9, limits.storage.to_value("byte") / 1e9, "GB"),
        ("jobs", cost["jobs"], limits.jobs, "jobs"),
        ("showers", cost.get("showers", 0), limits.showers, "showers"),
    ):
        if value > limit:
            return key, value, limit, unit
    return None
