"""Primary particles: energies, directions and positions of the showers that are thrown.

Ground frame as in ctapipe: x to north, y to west, z up; azimuth runs from north over east.
"""

from dataclasses import dataclass

import numpy as np

#: Rest masses, TeV.
MASSES = {"gamma": 0.0, "electron": 0.511e-6, "proton": 938.272e-6}

#: Ids of ctapipe's ``shower_primary_id``: 0 gamma, 1 electron, 100 A + Z nuclei.
PRIMARY_IDS = {"gamma": 0, "electron": 1, "proton": 101}


@dataclass(frozen=True)
class Primaries:
    """Showers to simulate.

    Parameters
    ----------
    particle : str
        ``gamma``, ``electron`` or ``proton``.
    energy : numpy.ndarray
        Total energy, TeV, shape (n,).
    origin : numpy.ndarray
        Unit vectors to where the particles come from (on the sky), shape (n, 3).
    core : numpy.ndarray
        Where the axes meet the plane z = 0, m, shape (n, 3) with z = 0.
    distance : numpy.ndarray
        Distance of the axes from the reference point, across the axis, m, shape (n,).
    """

    particle: str
    energy: np.ndarray
    origin: np.ndarray
    core: np.ndarray
    distance: np.ndarray

    def __len__(self):
        return len(self.energy)

    def __getitem__(self, rows):
        """Select showers; `rows` is a slice or an array of indices."""
        return Primaries(
            self.particle,
            self.energy[rows],
            self.origin[rows],
            self.core[rows],
            self.distance[rows],
        )


def unit_vector(altitude, azimuth):
    """Return unit vectors in the ground frame, shape (..., 3); angles in rad."""
    cos_altitude = np.cos(altitude)
    return np.stack(
        [
            cos_altitude * np.cos(azimuth),
            -cos_altitude * np.sin(azimuth),
            np.broadcast_to(np.sin(altitude), np.shape(cos_altitude * azimuth)),
        ],
        axis=-1,
    )


def altitude_azimuth(vector):
    """Return altitude and azimuth (0 to 2 pi), rad, of unit vectors of shape (..., 3)."""
    altitude = np.arcsin(np.clip(vector[..., 2], -1, 1))
    azimuth = np.arctan2(-vector[..., 1], vector[..., 0]) % (2 * np.pi)
    return altitude, azimuth


def sky_axes(altitude, azimuth):
    """Return the vectors of growing azimuth and growing altitude at a direction (rad), shape (3,)."""
    growing_azimuth = np.array([-np.sin(azimuth), -np.cos(azimuth), 0.0])
    growing_altitude = np.array(
        [
            -np.sin(altitude) * np.cos(azimuth),
            np.sin(altitude) * np.sin(azimuth),
            np.cos(altitude),
        ]
    )
    return growing_azimuth, growing_altitude


def draw_energies(rng, n, low, high, index):
    """Draw `n` energies from a power law with signed `index` between `low` and `high`."""
    q = rng.random(n)
    power = index + 1
    if abs(power) < 1e-9:
        return low * (high / low) ** q
    return (low**power + q * (high**power - low**power)) ** (1 / power)


def draw_directions(rng, n, altitude, azimuth, view_cone, offset=0.0):
    """Draw directions around a pointing.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers.
    n : int
        How many.
    altitude, azimuth : float
        Pointing, rad.
    view_cone : float
        Radius of the evenly filled cone, rad; 0 for a point source.
    offset : float
        Distance of a point source from the pointing towards larger altitude, rad.

    Returns
    -------
    numpy.ndarray
        Unit vectors, shape (n, 3).
    """
    pointing = unit_vector(altitude, azimuth)
    growing_azimuth, growing_altitude = sky_axes(altitude, azimuth)
    if view_cone > 0:
        cosine = 1 - (1 - np.cos(view_cone)) * rng.random(n)
        angle = 2 * np.pi * rng.random(n)
    else:
        cosine = np.full(n, np.cos(offset))
        angle = np.zeros(n)
    sine = np.sqrt(np.clip(1 - cosine**2, 0, 1))
    aside = np.cos(angle)[:, None] * growing_altitude + np.sin(angle)[:, None] * growing_azimuth
    return cosine[:, None] * pointing + sine[:, None] * aside


def draw_cores(rng, origin, radius):
    """Draw where shower axes meet the ground.

    Points fill a disc across each shower direction evenly (as CORSIKA's CSCAT does for ctapipe's
    effective areas) and are then moved along the axis to the plane z = 0.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers.
    origin : numpy.ndarray
        Unit vectors of the shower directions, shape (n, 3).
    radius : float
        Radius of the disc, m.

    Returns
    -------
    core : numpy.ndarray
        Positions, m, shape (n, 3).
    distance : numpy.ndarray
        Distance from the reference point within the disc, m, shape (n,).
    """
    n = len(origin)
    distance = radius * np.sqrt(rng.random(n))
    angle = 2 * np.pi * rng.random(n)
    across = np.cross(origin, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across, axis=1)[:, None]
    other = np.cross(origin, across)
    point = distance[:, None] * (np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * other)
    core = point - origin * (point[:, 2] / origin[:, 2])[:, None]
    core[:, 2] = 0.0
    return core, distance


def draw(card, rng) -> Primaries:
    """Draw the showers of one run of a card.

    Parameters
    ----------
    card : ctabatch.simulation.card.RunCard
        The sample.
    rng : numpy.random.Generator
        Source of random numbers.
    """
    n = card.showers_per_run
    energy = draw_energies(
        rng,
        n,
        card.energy_min.to_value("TeV"),
        card.energy_max.to_value("TeV"),
        card.spectral_index,
    )
    origin = draw_directions(
        rng,
        n,
        np.pi / 2 - card.zenith.to_value("rad"),
        card.azimuth.to_value("rad"),
        card.view_cone.to_value("rad"),
        card.source_offset.to_value("rad"),
    )
    core, distance = draw_cores(rng, origin, card.scatter_radius.to_value("m"))
    return Primaries(card.particle, energy, origin, core, distance)
