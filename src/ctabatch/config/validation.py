"""Thresholds of the checks that an IRF must pass (section ``validation``)."""

from typing import Annotated

from pydantic import Field

from ctabatch.config.base import SafePathText, Section


class ValidationSettings(Section):
    """Thresholds of the named checks of ``cta-batch irf validate``."""

    normalisation_tolerance: Annotated[float, Field(strict=True, gt=0, le=0.5)] = 0.02
    """Largest deviation from 1 of the integral of the energy dispersion and of the PSF."""
    minimum_counts: Annotated[int, Field(strict=True, ge=1)] = 10
    """Fewest selected gammas in each bin of the precision range."""
    smoothness: Annotated[float, Field(strict=True, gt=0)] = 5.0
    """Largest deviation of the effective area from a smooth curve through the neighbouring bins,
    in standard deviations."""
    smoothness_tolerance: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.1
    """Relative deviation from that smooth curve which is no fault: a curve through a few bins does
    not follow the steep rise at the threshold."""
    thrown_area_fraction: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.5
    """The effective area must stay below this fraction of the thrown area."""
    precision_margin: Annotated[float, Field(strict=True, ge=1)] = 1.5
    """Reached relative uncertainty may be this much larger than the wanted one."""
    reference: SafePathText | None = Field(None, examples=["reference.fits.gz"])
    """IRF file to compare with; left out: no comparison."""
    reference_pull: Annotated[float, Field(strict=True, gt=0)] = 5.0
    """Largest pull of the effective area against the reference, with `reference_systematic`."""
    reference_systematic: Annotated[float, Field(strict=True, ge=0)] = 0.3
    """Relative systematic uncertainty of the comparison with the reference."""
