"""Cherenkov light of shower particles: how much, where to, and through which air.

The electrons of a cascade follow universal distributions of energy, angle and lateral position, which
depend on the stage of the cascade only (Lafebre et al. 2009). Folded with the Cherenkov cone at each
height they give the light per particle, length and solid angle, tabulated here.
"""

from dataclasses import dataclass

import numpy as np

from ctabatch.simulation.instrument import WAVELENGTHS

#: Cherenkov photons per m of a particle with charge 1: this times 2 (n - 1) above threshold.
PHOTONS_PER_METRE = 2 * np.pi / 137.036 * 1e9 * (1 / WAVELENGTHS[0] - 1 / WAVELENGTHS[-1])

ELECTRON_MASS = 0.511  # MeV

STAGES = np.linspace(-8.0, 14.0, 23)  #: (depth - depth of the maximum) / radiation length
ANGLE_ROOTS = np.linspace(0.0, 0.65, 101)  #: square roots of angles to the axis, rad
HEIGHT_STEP = 500.0  #: between the heights of the table, m
LATERAL_ANGLES = 13  #: groups of angles that lateral positions are tabulated for
QUANTILES = 33  #: nodes of the inverse cumulative distributions

# Part of the lateral spread that remains at a fixed direction of the photon: position and direction of
# an electron have a correlation of sqrt(3)/2 in multiple scattering, which leaves 0.5; somewhat more is
# taken, because the correlation is not perfect over a cascade.
LATERAL_REMAINDER = 0.6


def electron_spectrum(stage, log_energy):
    """Return the energy spectrum dN/dln(E) of electrons and positrons, not normalised.

    Parameters
    ----------
    stage : float
        Radiation lengths behind the maximum.
    log_energy : numpy.ndarray
        Natural logarithm of the energy in MeV.
    """
    energy = np.exp(log_energy)
    first, second, power = 5.64 - 0.0663 * stage, 123.0 - 0.70 * stage, 1 + 0.0374 * stage
    return energy / ((energy + first) * (energy + second) ** power)


def electron_angles(angle, log_energy):
    """Return the angular distribution of electrons per solid angle, not normalised; angles in rad."""
    degrees = np.maximum(np.rad2deg(angle), 1e-4)
    energy = np.exp(log_energy)
    b1, b2 = -3.73 + 0.92 * energy**0.210, 32.9 - 4.84 * log_energy
    a1, a2 = -0.399, -8.36 + 0.440 * log_energy
    log_angle = np.log(degrees)
    return (np.exp(-(b1 + a1 * log_angle) / 3) + np.exp(-(b2 + a2 * log_angle) / 3)) ** -3


def electron_positions(log_x, log_energy, stage):
    """Return dN/dln(x) of the distance x to the axis in Moliere radii, not normalised."""
    x1 = np.maximum(0.859 - 0.0461 * log_energy**2 + 0.00428 * log_energy**3, 0.02)
    zeta0 = 0.0263 * stage + 1.34 + 0.160 * log_energy
    zeta0 += -0.0404 * log_energy**2 + 0.00276 * log_energy**3
    zeta1 = 0.0263 * stage - 4.33
    return np.exp(zeta0 * log_x + zeta1 * np.log(x1 + np.exp(log_x)))


@dataclass(frozen=True)
class LightTables:
    """Light of cascade particles above a site.

    Parameters
    ----------
    intensity : numpy.ndarray
        Photons between the limits of `WAVELENGTHS` per particle, m and sr; shape (stages, heights,
        angles), on `STAGES`, steps of `HEIGHT_STEP` from the site up, and `ANGLE_ROOTS`.
    lateral : numpy.ndarray
        Quantiles of the distance from the axis in Moliere radii; shape (stages, heights,
        `LATERAL_ANGLES`, `QUANTILES`).
    refractivity : numpy.ndarray
        n - 1 at the heights of the table.
    moliere : numpy.ndarray
        Moliere radius, m, at the heights of the table.
    length : numpy.ndarray
        Length of path of 1 g/cm2, m, at the heights of the table.
    """

    intensity: np.ndarray
    lateral: np.ndarray
    refractivity: np.ndarray
    moliere: np.ndarray
    length: np.ndarray

    def yield_per_metre(self):
        """Return photons per particle and m in all directions, shape (stages, heights)."""
        angle = ANGLE_ROOTS**2
        return np.trapezoid(self.intensity * 2 * np.pi * np.sin(angle), angle, axis=-1)


def make_tables(air, top=32e3) -> LightTables:
    """Fold electrons with the Cherenkov cone.

    Parameters
    ----------
    air : ctabatch.simulation.atmosphere.Air
        The air.
    top : float
        Height above the site up to which light is followed, m.
    """
    heights = np.arange(0, top, HEIGHT_STEP)
    altitude = air.site_altitude + heights
    delta = np.interp(altitude, air.height, air.refractivity)
    density = np.interp(altitude, air.height, air.density)
    log_energy = np.linspace(0.0, np.log(3e4), 42)  # 1 MeV to 30 GeV
    energy = np.exp(log_energy)
    # Number fractions f(stage, E), and photons per m y(E, height) of one electron.
    fraction = np.array([electron_spectrum(stage, log_energy) for stage in STAGES])
    fraction /= fraction.sum(axis=1, keepdims=True)
    threshold = ELECTRON_MASS / np.sqrt(2 * delta)
    gain = np.clip(1 - (threshold[None, :] / energy[:, None]) ** 2, 0, None)
    photons = PHOTONS_PER_METRE * 2 * delta * gain

    # Angle to the axis of an electron whose cone passes a direction: average over the cone.
    angle = ANGLE_ROOTS**2
    fine = np.geomspace(1e-5, 2.0, 400)
    turn = (np.arange(24) + 0.5) * np.pi / 24
    intensity = np.zeros((len(STAGES), len(heights), len(angle)))
    group = np.linspace(0, len(angle) - 1, LATERAL_ANGLES).astype(int)
    weight = np.zeros((len(STAGES), len(heights), LATERAL_ANGLES, len(energy)))
    for i, value in enumerate(log_energy):
        table = electron_angles(fine, value)
        table /= np.trapezoid(table * 2 * np.pi * np.sin(fine), fine)
        lit = np.flatnonzero(gain[i] > 0)
        if not lit.size:
            continue
        cone = np.sqrt(2 * delta[lit] * gain[i, lit])
        square = angle[:, None] ** 2 + cone[:, None, None] ** 2
        square = square - 2 * angle[:, None] * cone[:, None, None] * np.cos(turn)
        between = np.sqrt(np.maximum(square, 0))
        kernel = np.interp(between, fine, table).mean(axis=-1) * photons[i, lit, None]
        part = fraction[:, i, None, None] * kernel[None]
        intensity[:, lit] += part
        weight[..., i][:, lit] = part[:, :, group]
    return LightTables(
        intensity.astype(np.float32),
        _lateral_quantiles(weight, log_energy),
        delta,
        9.6 / density / 100,
        1 / (density * 100),
    )


def _lateral_quantiles(weight, log_energy):
    """Quantiles of the lateral position of electrons with the given weights of energies."""
    log_x = np.linspace(np.log(1e-3), np.log(5.0), 120)
    probability = np.linspace(0.0, 0.995, QUANTILES)
    out = np.zeros((*weight.shape[:-1], QUANTILES), np.float32)
    for i, stage in enumerate(STAGES):
        shape = electron_positions(log_x[None, :], log_energy[:, None], stage)
        shape /= shape.sum(axis=1, keepdims=True)
        mixed = weight[i] @ shape
        cumulative = np.cumsum(mixed, axis=-1)
        cumulative /= np.maximum(cumulative[..., -1:], 1e-30)
        for index in np.ndindex(cumulative.shape[:2]):
            out[(i, *index)] = np.exp(np.interp(probability, cumulative[index], log_x))
    return out


def detection(air, model, cos_zenith):
    """Return photo-electrons per photon between the limits of `WAVELENGTHS`, by height of emission.

    Parameters
    ----------
    air : ctabatch.simulation.atmosphere.Air
        The air with its extinction.
    model : ctabatch.simulation.instrument.TelescopeModel
        The telescope with its detection efficiency.
    cos_zenith : float
        Cosine of the zenith angle of the light.

    Returns
    -------
    numpy.ndarray
        On steps of `HEIGHT_STEP` from the site up to the top of the air.
    """
    spectrum = WAVELENGTHS**-2.0
    transmission = air.transmission(WAVELENGTHS, cos_zenith)
    seen = np.trapezoid(transmission * model.efficiency() * spectrum, WAVELENGTHS, axis=1)
    seen /= np.trapezoid(spectrum, WAVELENGTHS)
    heights = np.arange(0, air.height[-1] - air.site_altitude, HEIGHT_STEP)
    return np.interp(heights, air.height - air.site_altitude, seen)
