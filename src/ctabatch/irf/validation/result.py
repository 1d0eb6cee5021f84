"""What checks return: verdicts, and their collection in a report."""

import json
import math
from dataclasses import dataclass, field

import numpy as np

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

#: Bins named in the details of a failed check; the number of all is always given.
MOST_BINS = 20


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


@dataclass(frozen=True)
class ValidationReport:
    """All checks of one IRF file.

    Parameters
    ----------
    product : str
        File name.
    sha256 : str or None
        Digest of the bytes that were checked; None where the file can't be read.
    checks : list of Check
        In the order in which they were made.
    energy_range : tuple of float
        Range in which the wanted precision holds, in TeV.
    offset_max : float
        Outer radius of that range, in deg.
    disclaimer : str or None
        What has to be said wherever the product is shown.
    """

    product: str
    sha256: str | None
    checks: list
    energy_range: tuple
    offset_max: float
    disclaimer: str | None = None

    @property
    def passed(self):
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self):
        """The checks that failed."""
        return [check for check in self.checks if check.status == FAILED]

    def summary(self):
        """Say in one line how it went; names the first failure."""
        counts = dict.fromkeys((PASSED, FAILED, SKIPPED), 0)
        for check in self.checks:
            counts[check.status] += 1
        text = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
        if self.failures:
            first = self.failures[0]
            text += f"; {first.name}: {first.message}"
        return f"{self.product}: {text}"

    def to_json(self):
        """Return indented JSON; the same file and settings give the same text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_dict(self):
        """Return plain values for JSON; neither times nor folders are among them."""
        return {
            "product": self.product,
            "sha256": self.sha256,
            "passed": self.passed,
            "disclaimer": self.disclaimer,
            "range": {
                "energy_min_TeV": plain(self.energy_range[0]),
                "energy_max_TeV": plain(self.energy_range[1]),
                "offset_max_deg": plain(self.offset_max),
            },
            "checks": [
                {
                    "name": check.name,
                    "status": check.status,
                    "message": check.message,
                    "details": plain(check.details),
                }
                for check in self.checks
            ],
        }


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


def fail_in_bins(component, bad, what, values=None, order=None):
    """Raise `Failed` that names the bins of a component, if there are any.

    Parameters
    ----------
    component : ctabatch.irf.component.Component
        Gives names to the bins.
    bad : numpy.ndarray
        Bool, its axes are the leading ones of the component.
    what : str
        Begins the message, for instance ``effective area is negative``.
    values : numpy.ndarray, optional
        Shown with each bin; same shape as `bad`.
    order : numpy.ndarray, optional
        The bin with the largest value is named first; same shape as `bad`.
    """
    if not bad.any():
        return
    places = np.argwhere(bad)
    if order is not None:
        places = places[np.argsort(-order[bad], kind="stable")]
    bins = []
    for place in places[:MOST_BINS]:
        entry = {"bin": component.bin_name(place)}
        if values is not None:
            entry["value"] = values[tuple(place)]
        bins.append(entry)
    first = bins[0]["bin"]
    if values is not None:
        first += f" (value {bins[0]['value']:.4g})"
    number = len(places)
    more = f", and {number - 1} of {bad.size} bins more" if number > 1 else ""
    raise Failed(f"{what} in bin {first}{more}", hdu=component.name, number=number, bins=bins)
