"""Named checks that a DL3 file must pass before it is ingested (``cta-batch dl3 verify``).

A check that can't be made for lack of the observation's metadata is skipped and said so; everything
else that is absent fails. See ``docs/dl3.md`` for what each of them means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctabatch.checks import FAILED, PASSED, SKIPPED, Check, judge_all, summarise
from ctabatch.dl3.observation import Observation
from ctabatch.dl3.verification import events, pointing, structure
from ctabatch.dl3.verification.subject import Limits, read_subject
from ctabatch.errors import InputError
from ctabatch.files import write_json

__all__ = ["CHECKS", "Limits", "VerificationReport", "verify", "verify_files"]

#: Names of the checks, in the order in which they are made; each takes a `Subject`.
CHECKS = {
    "checksum": structure.checksum,
    "components": structure.components,
    "gadf_schema": structure.gadf_schema,
    "gammapy": structure.gammapy,
    "producer": structure.producer,
    "observation": events.same_observation,
    "event_ids": events.event_ids,
    "finite": events.finite,
    "monotonic_times": events.monotonic,
    "times_in_gti": events.within_gti,
    "livetime": events.livetime,
    "event_count": events.event_count,
    "pointing": pointing.pointing,
    "coordinates": pointing.coordinates,
    "irf_values": pointing.irf_values,
    "irf_validity": pointing.irf_validity,
}


@dataclass(frozen=True)
class VerificationReport:
    """All checks of one DL3 file."""

    product: str  #: file name
    obs_id: int | None  #: observation, where the file says it
    sha256: str | None  #: digest of the bytes that were checked
    checks: list  #: `ctabatch.checks.Check`, in order

    @property
    def passed(self) -> bool:
        """Whether no check failed, and the events could be read."""
        return all(check.status != FAILED for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.status == FAILED]

    def summary(self) -> str:
        """Say in one line how it went; names the first failure."""
        return summarise(self.product, self.checks)

    def to_dict(self) -> dict:
        """Return plain values for JSON; the same file gives the same values."""
        return {
            "product": self.product,
            "obs_id": self.obs_id,
            "sha256": self.sha256,
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
        }


def verify(
    path: Path, observation: Observation | None = None, limits: Limits | None = None
) -> VerificationReport:
    """Check one DL3 file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    observation : Observation, optional
        What DL0 says about the observation; makes the checks against it possible.
    limits : Limits, optional
        Largest differences; the defaults otherwise.

    Returns
    -------
    VerificationReport
        A file that can't be read has one failed check, ``readable``, and all others skipped.
    """
    path = Path(path)
    try:
        subject = read_subject(path, observation, limits or Limits())
    except InputError as error:
        unread = [Check(name, SKIPPED, "the file can't be read") for name in CHECKS]
        checks = [Check("readable", FAILED, error.message), *unread]
        return VerificationReport(path.name, None, None, checks)
    checks = [Check("readable", PASSED, f"{len(subject.hdus)} HDUs read completely")]
    checks += judge_all(CHECKS, subject)
    obs_id = next((h.header["OBS_ID"] for h in subject.hdus if "OBS_ID" in h.header), None)
    return VerificationReport(
        path.name, int(obs_id) if obs_id is not None else None, subject.sha256, checks
    )


def verify_files(
    paths: Sequence[Path],
    observations: Sequence[Observation] = (),
    limits: Limits | None = None,
    output: Path | None = None,
) -> dict:
    """Check DL3 files, one after the other, so that memory does not grow with their number.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The files.
    observations : sequence of Observation
        What DL0 says; each goes with the file of its id. With any given, a file without one fails.
    limits : Limits, optional
        Largest differences.
    output : pathlib.Path, optional
        Where to write the result as JSON.

    Returns
    -------
    dict
        ``passed``, and for each file the named checks.

    Raises
    ------
    ctabatch.errors.InputError
        No file, or two observations with the same id.
    """
    if not paths:
        raise InputError("names no DL3 file", "dl3 verify")
    known = {}
    for item in observations:
        if item.obs_id in known:
            raise InputError(f"observation {item.obs_id} is given twice", "--observation")
        known[item.obs_id] = item
    reports = []
    for path in paths:
        observation = None
        if known:
            observation = known.get(_obs_id(path)) or (
                next(iter(known.values())) if len(known) == 1 else None
            )
            if observation is None:
                raise InputError(
                    "is of no observation that --observation gives",
                    str(path),
                    ", ".join(map(str, sorted(known))),
                )
        reports.append(verify(path, observation, limits).to_dict())
    result = {"passed": all(item["passed"] for item in reports), "files": reports}
    if output is not None:
        write_json(output, result)
    return result


def _obs_id(path):
    from astropy.io import fits

    try:
        return int(fits.getval(path, "OBS_ID", "EVENTS"))
    except (OSError, KeyError, ValueError, EOFError):
        return None


def describe(result: dict) -> str:
    """Say for each file which checks failed, then which passed."""
    order = {FAILED: 0, SKIPPED: 1, PASSED: 2}
    lines = []
    for item in result["files"]:
        lines.append(f"{item['product']}: {'passed' if item['passed'] else 'FAILED'}")
        for check in sorted(item["checks"], key=lambda check: order[check["status"]]):
            lines.append(f"  {check['status']:8s} {check['name']:16s} {check['message']}")
    return "\n".join(lines)
