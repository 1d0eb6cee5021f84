"""Development of showers: hadrons, the electromagnetic cascades they feed, and muons.

Hadrons interact by the splitting algorithm of Hillas (1981, 17th ICRC), charged pions decay or
interact, neutral pions feed cascades with a direction of their own, and muons are kept as tracks.
Units are those of `ctabatch.simulation.cascade`; a cascade or track is described relative to the
primary's axis by transverse position and slope (small angles).
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from ctabatch.simulation.cascade import (
    CRITICAL_ENERGY,
    DEPTH_STEP,
    ELECTRON,
    ELECTRON_HEAD_START,
    GROUPS,
    NUCLEON,
    PHOTON,
    PION,
    RADIATION_LENGTH,
    add_mean,
    altitude,
    electromagnetic,
)

PION_MASS = 139.57e-6
NEUTRAL_PION_MASS = 134.98e-6
PION_DECAY_LENGTH = 7.8045  #: c tau of charged pions, m
MUON_LOSS = 2.2e-6  #: mean energy loss of a muon, TeV per g/cm2

#: Energies below which cascades (photons) and hadrons are dropped, TeV.
PHOTON_FLOOR = 0.4e-3
HADRON_FLOOR = 4e-3
#: Smallest muon energy at birth that is followed, TeV.
MUON_FLOOR = 5e-3
MEAN_TRANSVERSE_MOMENTUM = 0.35e-3  #: of pions, TeV


MAX_AXES = 600  #: cascades of one shower
MAX_MUONS = 400
_STACK = 4096


@dataclass
class Scratch:
    """Work space of one shower, filled by `develop`; reused for the next.

    Parameters
    ----------
    profile : numpy.ndarray
        Number of charged particles, shape (axes, slices).
    axes : numpy.ndarray
        Start depth, transverse position x and y (m, at the start depth), slopes x and y, and depth
        of the maximum of each cascade, shape (axes, 6).
    muons : numpy.ndarray
        Energy at birth, birth depth, transverse position, slopes, shape (muons, 6).
    """

    profile: np.ndarray
    axes: np.ndarray
    muons: np.ndarray


def make_scratch(slices) -> Scratch:
    """Make the work space for axes of `slices` slices."""
    return Scratch(np.zeros((MAX_AXES, slices)), np.zeros((MAX_AXES, 6)), np.zeros((MAX_MUONS, 6)))


@numba.njit(cache=True, fastmath=True)
def _interaction_length(code, energy):
    """Mean free path in air, g/cm2: 24160 / (cross section in mb), rising with energy."""
    section = 270.0 + 13.0 * math.log(max(energy, 0.01) / 0.1)
    if code == PION:
        section *= 0.78
    return 24160.0 / section


@numba.njit(cache=True, fastmath=True)
def _decay_depth(energy, depth, heights, rng):
    """Depth where a charged pion born at `depth` decays (beyond the ground: very large)."""
    path = rng.exponential(PION_DECAY_LENGTH * energy / PION_MASS)
    target = altitude(depth, heights) - path
    if target <= heights[-1]:
        return 1e9
    low, high = int(depth), heights.size - 1
    while high - low > 1:  # heights fall with depth
        middle = (low + high) // 2
        if heights[middle] > target:
            low = middle
        else:
            high = middle
    return max(float(low), depth)


@numba.njit(cache=True, fastmath=True)
def _kick(energy, momentum, rng):
    """Slopes of a particle of `energy` with exponential transverse momentum of mean `momentum`."""
    pt = -0.5 * momentum * math.log(rng.random() * rng.random() + 1e-300)
    slope = min(pt / energy, 0.25)
    angle = 2 * math.pi * rng.random()
    return slope * math.cos(angle), slope * math.sin(angle)


@numba.njit(cache=True, fastmath=True)
def _pions(energy, leading_pion, out, rng):
    """Split the energy of an interaction among pions (Hillas 1981); returns their number.

    The energy is halved at random twice (four parts), each part gives pions one after the other, each
    a random share of what is left. A pion projectile keeps a random share as a leading pion.
    """
    n = 0
    if leading_pion:
        out[0] = energy * rng.random()
        energy -= out[0]
        n = 1
    a = rng.random()
    b, c = rng.random(), rng.random()
    for part in (a * b, a * (1 - b), (1 - a) * c, (1 - a) * (1 - c)):
        left = part * energy
        while left > PHOTON_FLOOR and n < out.size:
            out[n] = left * rng.random()
            left -= out[n]
            n += 1
    return n


@numba.njit(cache=True, fastmath=True)
def develop(code, energy, heights, bend, profile, axes, muons, rng):
    """Develop one shower.

    Parameters
    ----------
    code : int
        Primary particle, one of `CODES`.
    energy : float
        Its energy, TeV.
    heights : numpy.ndarray
        Length along the axis from the ground plane to slant depths 0, 1, 2... g/cm2, m.
    bend : numpy.ndarray
        Effect of the magnetic field, see `ctabatch.simulation.cascade.electromagnetic`.
    profile, axes, muons : numpy.ndarray
        Work space of `Scratch`; filled.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    n_axes, n_muons : int
        Number of filled rows of `axes` and `profile`, and of `muons`.
    first : float
        Depth of the first interaction, g/cm2.
    """
    if code in (PHOTON, ELECTRON):
        line = (0.0, 0.0, 0.0, 0.0)
        first = electromagnetic(
            profile[:GROUPS], axes[:GROUPS], code, energy, 0.0, line, heights, bend, rng
        )
        return GROUPS, 0, first

    n_axes, n_muons = 0, 0
    bottom = profile.shape[1] * DEPTH_STEP
    floor = max(PHOTON_FLOOR, 2e-4 * energy)
    hadron_floor = max(HADRON_FLOOR, 1e-3 * energy)
    stack = np.empty((_STACK, 7))  # code, energy, depth, x, y, slope x, slope y
    stack[0, :] = 0.0
    stack[0, 0], stack[0, 1] = code, energy
    n = 1
    first = -1.0
    shares = np.empty(512)
    while n > 0:
        n -= 1
        kind, e, x0 = int(stack[n, 0]), stack[n, 1], stack[n, 2]
        px, py, sx, sy = stack[n, 3], stack[n, 4], stack[n, 5], stack[n, 6]
        x = x0 + rng.exponential(_interaction_length(kind, e))
        if first < 0:
            first = x
        if kind == PION:
            decay = _decay_depth(e, x0, heights, rng)
            if decay < x and decay < bottom:
                share = 0.573 + 0.427 * rng.random()  # muon's part in the decay of a pion
                if share * e > MUON_FLOOR and n_muons < MAX_MUONS:
                    path = altitude(x0, heights) - altitude(decay, heights)
                    row = muons[n_muons]
                    row[0], row[1] = share * e, decay
                    row[2], row[3] = px + sx * path, py + sy * path
                    row[4], row[5] = sx, sy
                    n_muons += 1
                continue
            if e < hadron_floor:
                continue
        if x > bottom:
            continue
        path = altitude(x0, heights) - altitude(x, heights)
        px, py = px + sx * path, py + sy * path
        available = e
        if kind == NUCLEON:
            kept = rng.random()
            available = e * (1 - kept)
            if kept * e > hadron_floor and n < _STACK:
                kx, ky = _kick(kept * e, MEAN_TRANSVERSE_MOMENTUM, rng)
                row = stack[n]
                row[0], row[1], row[2] = NUCLEON, kept * e, x
                row[3], row[4], row[5], row[6] = px, py, sx + kx, sy + ky
                n += 1
        count = _pions(available, kind == PION, shares, rng)
        for j in range(count):
            share = shares[j]
            if share < floor:
                continue
            kx, ky = _kick(share, MEAN_TRANSVERSE_MOMENTUM, rng)
            if rng.random() * 3 >= 1.0:
                if share > MUON_FLOOR and n < _STACK:
                    row = stack[n]
                    row[0], row[1], row[2] = PION, share, x
                    row[3], row[4], row[5], row[6] = px, py, sx + kx, sy + ky
                    n += 1
                continue
            u = rng.random()
            angle = 2 * math.pi * rng.random()
            for side in range(2):
                part = share * (u if side == 0 else 1 - u)
                if part < floor or n_axes >= MAX_AXES:
                    continue
                opening = NEUTRAL_PION_MASS / share
                opening *= math.sqrt((1 - u) / u) if side == 0 else -math.sqrt(u / (1 - u))
                opening = max(-0.25, min(0.25, opening))
                slope_x = sx + kx + opening * math.cos(angle)
                slope_y = sy + ky + opening * math.sin(angle)
                if part > 0.1 * energy and n_axes + GROUPS <= MAX_AXES:
                    end = n_axes + GROUPS
                    line = (px, py, slope_x, slope_y)
                    electromagnetic(
                        profile[n_axes:end],
                        axes[n_axes:end],
                        PHOTON,
                        part,
                        x,
                        line,
                        heights,
                        bend,
                        rng,
                    )
                    n_axes = end
                    continue
                birth = x + rng.exponential(9 / 7 * RADIATION_LENGTH)
                profile[n_axes, :] = 0.0
                add_mean(profile[n_axes], part, birth, ELECTRON_HEAD_START)
                row = axes[n_axes]
                row[0], row[1], row[2], row[3], row[4] = x, px, py, slope_x, slope_y
                row[5] = birth + RADIATION_LENGTH * (
                    math.log(part / CRITICAL_ENERGY) - ELECTRON_HEAD_START
                )
                n_axes += 1
    return n_axes, n_muons, first
