"""What arrives from the sky: spectra of the source and of cosmic rays, and draws from them."""

import astropy.units as u
import numpy as np
from pyirf.spectral import (
    IRFDOC_ELECTRON_SPECTRUM,
    IRFDOC_PROTON_SPECTRUM,
    LogParabola,
)

#: Points a decade at which spectra are tabulated for draws; a power law between them errs by less than
#: 1e-4.
POINTS_A_DECADE = 200

#: Cosmic rays, per solid angle.
BACKGROUND = {"proton": IRFDOC_PROTON_SPECTRUM, "electron": IRFDOC_ELECTRON_SPECTRUM}


class Arrivals:
    """Numbers and energies of particles from a differential flux.

    Parameters
    ----------
    flux : callable
        Energy (quantity) to flux, such as the spectra of `pyirf.spectral`.
    energy_min, energy_max : astropy.units.Quantity
        Range.
    unit : str
        Unit of the flux integrated over energy.
    """

    def __init__(self, flux, energy_min, energy_max, unit="m-2 s-1"):
        low, high = energy_min.to_value("TeV"), energy_max.to_value("TeV")
        number = max(2, int(np.ceil(np.log10(high / low) * POINTS_A_DECADE)) + 1)
        self.energy = np.geomspace(low, high, number)
        value = flux(self.energy * u.TeV).to_value(u.Unit(unit) / u.TeV)
        # A power law between neighbours is integrated exactly.
        self._index = np.diff(np.log(value)) / np.diff(np.log(self.energy)) + 1
        self._index[np.abs(self._index) < 1e-9] = 1e-9
        part = np.diff(self.energy * value)
        parts = np.where(
            np.abs(self._index) > 1e-6,
            part / self._index,
            (self.energy * value)[:-1] * np.diff(np.log(self.energy)),
        )
        self._sum = np.concatenate([[0.0], np.cumsum(parts)])

    @property
    def integral(self) -> float:
        """Flux integrated over the range, in the unit given."""
        return float(self._sum[-1])

    def draw(self, rng, number: int) -> np.ndarray:
        """Draw energies, TeV, shape (number,)."""
        place = rng.random(number) * self._sum[-1]
        i = np.clip(np.searchsorted(self._sum, place, side="right") - 1, 0, len(self._index) - 1)
        share = (place - self._sum[i]) / (self._sum[i + 1] - self._sum[i])
        power, low, high = self._index[i], self.energy[i], self.energy[i + 1]
        return low * (1 + share * ((high / low) ** power - 1)) ** (1 / power)


def source_flux(spectrum) -> LogParabola:
    """Make the flux of a source.

    Parameters
    ----------
    spectrum : ctabatch.config.observation.SourceSpectrum
        Its parameters.
    """
    return LogParabola(
        normalization=spectrum.amplitude * spectrum.scale,
        a=-spectrum.index,
        b=-spectrum.curvature,
        e_ref=spectrum.reference,
    )


def describe_flux(spectrum) -> str:
    """Write the flux of a source as a formula, for metadata."""
    amplitude = (spectrum.amplitude * spectrum.scale).value
    reference = spectrum.reference.to_value("TeV")
    curved = f" - {spectrum.curvature:g} log10(E/{reference:g} TeV)" if spectrum.curvature else ""
    return f"{amplitude:.4g} (E/{reference:g} TeV)^(-{spectrum.index:g}{curved}) 1/(cm2 s TeV)"
