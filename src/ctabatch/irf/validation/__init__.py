"""Hard, named checks that an IRF must pass before it is ingested (``cta-batch irf validate``).

Every check has a threshold in `ctabatch.config.validation` or none at all; what fails names the bin
and the reason. See ``docs/validation.md`` for what each of them means.
"""

from pathlib import Path

from ctabatch.checks import judge_all
from ctabatch.config.irf import Precision
from ctabatch.config.validation import ValidationSettings
from ctabatch.errors import InputError
from ctabatch.irf.reading import open_irf
from ctabatch.irf.validation import coverage, normalisation, numbers, shape, structure, values
from ctabatch.irf.validation.result import (
    FAILED,
    PASSED,
    SKIPPED,
    Check,
    ValidationReport,
)
from ctabatch.irf.validation.subject import Subject
from ctabatch.simulation import DISCLAIMER, PRODUCER_ID

__all__ = ["CHECKS", "Check", "ValidationReport", "validate"]

#: Names of the checks, in the order in which they are made; each takes a `Subject`.
CHECKS = {
    "components": structure.components,
    "gadf_schema": structure.gadf_schema,
    "gammapy": structure.gammapy,
    "axes": values.axes,
    "finite": values.finite,
    "signs": values.signs,
    "normalisation_energy_dispersion": normalisation.energy_dispersion,
    "normalisation_psf": normalisation.psf,
    "coverage": coverage.coverage,
    "background": coverage.background,
    "counts": numbers.counts,
    "thrown_area": numbers.thrown_area,
    "precision_effective_area": numbers.precision_effective_area,
    "precision_background": numbers.precision_background,
    "smoothness": shape.smoothness,
    "reference": shape.reference,
}


def validate(irf_path, *, request=None, settings=None, benchmarks=None, thrown=None):
    """Check one IRF file.

    Parameters
    ----------
    irf_path : str or pathlib.Path
        The file.
    request : ctabatch.config.irf.IRFRequest, optional
        The request that the file answers. It gives the range and the precision, and makes the
        checks strict: numbers of the production that are not given fail a check. Without it the
        file is taken as a published one: normalised first, default range, such checks skipped.
    settings : ctabatch.config.validation.ValidationSettings, optional
        Thresholds and reference; the defaults otherwise.
    benchmarks : pathlib.Path, optional
        What ``ctapipe-compute-irf --benchmark-output`` wrote for the same events.
    thrown : dict, optional
        Particle (``gamma``, ``proton``, ``electron``) to its IRF sample: ``showers``,
        ``scatter_radius_m``, ``view_cone_deg``, ``energy_min_TeV``, ``energy_max_TeV`` and
        ``spectral_index`` (signed).

    Returns
    -------
    ValidationReport
        A product that can't be read has one failed check, ``readable``.

    Raises
    ------
    ctabatch.errors.InputError
        The reference of the settings is not an IRF.
    """
    irf_path = Path(irf_path)
    settings = settings or ValidationSettings()
    precision = request.precision if request else Precision()
    if settings.reference is not None:
        shape.open_reference(settings.reference)
    energies = tuple(
        getattr(precision, name).to_value("TeV") for name in ("energy_min", "energy_max")
    )

    disclaimer = DISCLAIMER if request and request.model.simulator == PRODUCER_ID else None

    def report(checks, sha256=None, stated=None):
        offset = precision.offset_max.to_value("deg")
        said = disclaimer or stated
        return ValidationReport(irf_path.name, sha256, checks, energies, offset, said)

    try:
        irf = open_irf(irf_path)
    except InputError as error:
        reason = error.message.removeprefix(f"{irf_path}: ")
        unread = [Check(name, SKIPPED, "the file can't be read") for name in CHECKS]
        return report([Check("readable", FAILED, reason), *unread])
    subject = Subject(
        irf, precision, settings, request, Path(benchmarks) if benchmarks else None, thrown
    )
    checks = [Check("readable", PASSED, f"{len(irf.hdus)} HDUs read completely")]
    checks += judge_all(CHECKS, subject)
    stated = DISCLAIMER if PRODUCER_ID in irf.comment else None
    return report(checks, irf.sha256, stated)
