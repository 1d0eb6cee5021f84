"""Named checks of products: verdicts, how a check gives one, and JSON of them.

A check is a function that takes what it looks at, returns a message and details, and raises `Failed`
or `Skipped` otherwise. What a check did not foresee fails it, too: an unread product never passes.
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctabatch.errors import InputError

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Failed(Exception):  # noqa: N818 - a verdict, not an error of the program
    """The check did not pass.

    Parameters
    ----------
    message : str
        What is wrong and where, in one line.
    **details
        Numbers for programs.
    """

    def __init__(self, message, **details):
        super().__init__(message)
        self.details = details


class Skipped(Exception):  # noqa: N818 - a verdict, not an error of the program
    """The check can't be done; the text says what is absent."""


@dataclass(frozen=True)
class Check:
    """Verdict of one named check."""

    name: str
    status: str  #: ``passed``, ``failed`` or ``skipped``
    message: str
    details: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "details": plain(self.details),
        }


def judge(name: str, check: Callable, subject: Any) -> Check:
    """Make one check.

    Parameters
    ----------
    name : str
        Its name.
    check : callable
        Takes `subject`; returns message and details.
    subject : object
        What is looked at.
    """
    try:
        message, details = check(subject)
    except Skipped as verdict:
        return Check(name, SKIPPED, str(verdict))
    except Failed as verdict:
        return Check(name, FAILED, str(verdict), verdict.details)
    except InputError as error:
        return Check(name, FAILED, str(error))
    except Exception as error:  # what was not foreseen must not let a product pass
        text = " ".join(str(error).split())
        return Check(name, FAILED, f"could not be made: {type(error).__name__}: {text}")
    return Check(name, PASSED, message, details)


def judge_all(checks: Mapping[str, Callable], subject: Any) -> list[Check]:
    """Make all of some checks, in order."""
    return [judge(name, check, subject) for name, check in checks.items()]


def schema_fault(schema, hdu) -> str | None:
    """Say how an HDU breaks a schema of the GADF format; None if it follows it.

    Cards and columns beyond the schema are allowed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema.validate_hdu(hdu, onerror="raise")
    except Exception as error:  # the library raises its own and astropy's kinds
        text = " ".join(str(error).split()) or type(error).__name__
        # the items of sets in order, so that the same file gives the same text
        return re.sub(
            r"\{([^{}]*)\}", lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text
        )
    return None


def plain(value):
    """Make JSON of numpy values: 6 significant digits, sorted keys, no NaN or infinity."""
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else str(float(value))
    return value


def summarise(name: str, checks: list[Check]) -> str:
    """Say in one line how the checks of a product went; names the first failure."""
    counts = dict.fromkeys((PASSED, FAILED, SKIPPED), 0)
    for check in checks:
        counts[check.status] += 1
    text = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    first = next((check for check in checks if check.status == FAILED), None)
    if first is not None:
        text += f"; {first.name}: {first.message}"
    return f"{name}: {text}"
