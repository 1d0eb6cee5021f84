"""Electromagnetic cascades in the air: numbers of charged particles along an axis.

Pair production and bremsstrahlung are followed one by one down to a small part of the energy; what is
below gets the mean profile of Greisen (1960). That gives the fluctuations of depth, height and shape
that reconstruction sees. Hadrons are in `ctabatch.simulation.hadrons`.

All depths are slant depths along the primary's axis in g/cm2, energies in TeV, lengths in m.
"""

import math

import numba
import numpy as np

RADIATION_LENGTH = 36.66  #: of air, g/cm2
CRITICAL_ENERGY = 85e-6  #: of electrons in air, TeV
DEPTH_STEP = 25.0  #: width of the slices, g/cm2

#: Electrons start a cascade that is ahead of a photon's by this many radiation lengths.
ELECTRON_HEAD_START = 0.9
#: Cascade particles below this part of the primary energy get mean profiles.
SPLIT_FRACTION = 0.025
#: Soft bremsstrahlung below this part of an electron's energy is one mean loss.
SOFT_FRACTION = 0.05

#: Plane scattering angle of an electron of 1 TeV in one radiation length, rad.
SCATTERING = 15e-6
#: Branches of a cascade that have a line of their own.
GROUPS = 8

PHOTON, ELECTRON, NUCLEON, PION = 0, 1, 2, 3  #: codes of the particles
CODES = {"gamma": PHOTON, "electron": ELECTRON, "proton": NUCLEON}


@numba.njit(cache=True, fastmath=True)
def greisen(energy, depth):
    """Return the mean number of charged particles of a photon's cascade after `depth` g/cm2."""
    if energy <= 3 * CRITICAL_ENERGY:
        return 0.0
    beta = math.log(energy / CRITICAL_ENERGY)
    t = depth / RADIATION_LENGTH
    if t <= 0.05:
        return 0.0
    age = 3 * t / (t + 2 * beta)
    return 0.31 / math.sqrt(beta) * math.exp(t * (1 - 1.5 * math.log(age)))


@numba.njit(cache=True, fastmath=True)
def add_mean(profile, energy, start, head):
    """Add the mean profile of a particle born at depth `start` to a row of slices."""
    if energy < 4 * CRITICAL_ENERGY:  # too small for a cascade: its track length, in one slice
        i = int(start / DEPTH_STEP)
        if i < profile.size:
            profile[i] += energy / CRITICAL_ENERGY * RADIATION_LENGTH / DEPTH_STEP
        return
    tail = start + (2.2 * math.log(energy / CRITICAL_ENERGY) + 12) * RADIATION_LENGTH
    first = max(0, int((start - head * RADIATION_LENGTH) / DEPTH_STEP))
    last = min(profile.size, int(tail / DEPTH_STEP) + 1)
    for i in range(first, last):
        depth = (i + 0.5) * DEPTH_STEP - start
        if depth > -0.5 * DEPTH_STEP:
            # The slice in which the particle is born counts for the part behind the birth.
            part = min(1.0, depth / DEPTH_STEP + 0.5)
            depth = max(depth, 0.25 * DEPTH_STEP)
            profile[i] += part * greisen(energy, depth + head * RADIATION_LENGTH)


@numba.njit(cache=True, fastmath=True)
def altitude(depth, heights):
    """Length along the axis from the ground to a depth; `heights` is on 1 g/cm2 steps."""
    if depth >= heights.size - 1:
        return heights[-1]
    i = int(depth)
    return heights[i] + (heights[i + 1] - heights[i]) * (depth - i)


@numba.njit(cache=True, fastmath=True)
def electromagnetic(profile, axes, code, energy, start, place, heights, bend, rng):
    """Develop one electromagnetic cascade into `GROUPS` branches.

    A branch is a line through the air, the mean of its particles' scattered directions weighted with
    energy. At low energies the few branches scatter differently, and so the image is irregular.

    Parameters
    ----------
    profile : numpy.ndarray
        Number of charged particles in each slice, shape (`GROUPS`, slices); overwritten.
    axes : numpy.ndarray
        Lines of the branches, shape (`GROUPS`, 6), see `ctabatch.simulation.hadrons.Scratch`;
        overwritten.
    code : int
        `PHOTON` or `ELECTRON`.
    energy, start : float
        Energy (TeV) and depth of birth (g/cm2).
    place : tuple of float
        Transverse position x and y (m) at the birth, slopes x and y.
    heights : numpy.ndarray
        Result of `axis_heights`.
    bend : numpy.ndarray
        Change of the slopes of a positron of 1 TeV in a m of magnetic field, rad / m, shape (2,).
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    float
        Depth of the first interaction, g/cm2.
    """
    profile[:, :] = 0.0
    axes[:, :] = 0.0
    floor = max(SPLIT_FRACTION * energy, 12 * CRITICAL_ENERGY)
    bottom = profile.shape[1] * DEPTH_STEP
    birth = altitude(start, heights)
    rate = 4 / 3 * (math.log(1 / SOFT_FRACTION) - (1 - SOFT_FRACTION))
    rate += 0.5 * (1 - SOFT_FRACTION**2)
    # kind, energy, depth, x, y, slope x, slope y, charge
    stack = np.zeros((256, 8))
    stack[0, 0], stack[0, 1], stack[0, 2] = code, energy, start
    stack[0, 7] = -1.0
    weight = np.zeros(GROUPS)
    n = 1
    first = -1.0
    done = 0.0
    while n > 0:
        n -= 1
        kind, e, x = int(stack[n, 0]), stack[n, 1], stack[n, 2]
        px, py, sx, sy = stack[n, 3], stack[n, 4], stack[n, 5], stack[n, 6]
        charge = stack[n, 7]
        primary = first < 0
        # Particles come depth first, so those of a branch follow each other.
        group = min(int(done / energy * GROUPS), GROUPS - 1)
        if x > bottom or (not primary and (e < floor or n > 250)):
            done += e
            weight[group] += e
            fall = birth - altitude(x, heights)
            axes[group, 1] += e * (px - sx * fall)
            axes[group, 2] += e * (py - sy * fall)
            axes[group, 3] += e * sx
            axes[group, 4] += e * sy
            if x <= bottom:
                head = ELECTRON_HEAD_START if kind == ELECTRON else 0.0
                add_mean(profile[group], e, x, head)
            continue
        if kind == PHOTON:
            end = x + rng.exponential(9 / 7 * RADIATION_LENGTH)
            share = rng.random()
            while rng.random() > 1 - 4 / 3 * share * (1 - share):
                share = rng.random()
            other = ELECTRON
        else:
            t = rng.exponential(1 / rate)
            end = x + t * RADIATION_LENGTH
            soft = e * (1 - math.exp(-4 / 3 * SOFT_FRACTION * t))
            done += soft
            add_mean(profile[group], soft, x + 0.5 * t * RADIATION_LENGTH, 0.0)
            # The electron itself is a charged particle on its way.
            i0, i1 = x / DEPTH_STEP, end / DEPTH_STEP
            for i in range(int(i0), min(int(i1) + 1, profile.shape[1])):
                profile[group, i] += min(i1, i + 1.0) - max(i0, float(i))
            e -= soft
            share = SOFT_FRACTION ** rng.random()
            while rng.random() > 1 - share + 0.75 * share * share:
                share = SOFT_FRACTION ** rng.random()
            other = PHOTON
        path = altitude(x, heights) - altitude(end, heights)
        if kind == ELECTRON:
            scatter = SCATTERING / e * math.sqrt((end - x) / RADIATION_LENGTH)
            kick_x = scatter * rng.standard_normal() + charge * bend[0] * path / e
            kick_y = scatter * rng.standard_normal() + charge * bend[1] * path / e
            # Half of the deflection counts for the way itself.
            px, py = px + 0.5 * kick_x * path, py + 0.5 * kick_y * path
        else:
            kick_x, kick_y = 0.0, 0.0
        px, py = px + sx * path, py + sy * path
        sx, sy = sx + kick_x, sy + kick_y
        if primary:
            first = end
        for side in range(2):
            row = stack[n]
            row[0], row[1] = (ELECTRON, (1 - share) * e) if side == 0 else (other, share * e)
            row[2], row[3], row[4], row[5], row[6] = end, px, py, sx, sy
            # Pairs have both charges; an electron that radiates keeps its own.
            row[7] = charge if kind == ELECTRON else 1.0 - 2.0 * side
            n += 1
    best, deepest = -1.0, 0
    for i in range(profile.shape[1]):
        number = 0.0
        for group in range(GROUPS):
            number += profile[group, i]
        if number > best:
            best, deepest = number, i
    for group in range(GROUPS):
        row = axes[group]
        norm = 1 / max(weight[group], 1e-12)
        row[0] = start
        row[1], row[2] = place[0] + row[1] * norm, place[1] + row[2] * norm
        row[3], row[4] = place[2] + row[3] * norm, place[3] + row[4] * norm
        row[5] = (deepest + 0.5) * DEPTH_STEP
    return first


def vertical_heights(air):
    """Tabulate heights above the site at vertical overburdens of 0, 1, 2... g/cm2, m, to the ground."""
    overburden = np.append(np.arange(0.0, np.floor(air.overburden[0])), air.overburden[0])
    return air.height_of(np.maximum(overburden, air.overburden[-1])) - air.site_altitude


@numba.njit(cache=True, fastmath=True)
def axis_heights(vertical, ground, cos_zenith):
    """Tabulate the length along an axis from the plane of the site to slant depths.

    Parameters
    ----------
    vertical : numpy.ndarray
        Result of `vertical_heights`.
    ground : float
        Vertical overburden of the site, g/cm2.
    cos_zenith : float
        Cosine of the axis's zenith angle.

    Returns
    -------
    numpy.ndarray
        Lengths at 0, 1, 2, ... g/cm2 down to the ground, m.
    """
    n = int(ground / cos_zenith) + 1
    out = np.empty(n)
    for i in range(n):
        depth = i * cos_zenith
        j = min(int(depth), vertical.size - 2)
        step = ground - j if j == vertical.size - 2 else 1.0
        part = (depth - j) / step
        out[i] = (vertical[j] + (vertical[j + 1] - vertical[j]) * part) / cos_zenith
    out[n - 1] = 0.0
    return out
