"""What checks return: verdicts, and their collection in a report."""

import json
from dataclasses import dataclass

import numpy as np

from ctabatch.checks import FAILED, PASSED, SKIPPED, Check, Failed, Skipped, plain, summarise

__all__ = ["FAILED", "PASSED", "SKIPPED", "Check", "Failed", "Skipped", "plain"]

#: Bins named in the details of a failed check; the number of all is always given.
MOST_BINS = 20


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
        return summarise(self.product, self.checks)

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
            "checks": [check.to_dict() for check in self.checks],
        }


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
