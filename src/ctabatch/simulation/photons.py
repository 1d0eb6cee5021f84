"""From showers to photo-electrons: light that reaches each telescope, one photo-electron at a time.

The functions are compiled; they take plain arrays. Directions are unit vectors in the ground frame,
and *field* directions are angles (rad) from the pointing along growing altitude and growing azimuth,
which are latitude and longitude of ctapipe's ``TelescopeFrame``.
"""

import math

import numba
import numpy as np

from ctabatch.simulation.cascade import DEPTH_STEP, RADIATION_LENGTH, altitude
from ctabatch.simulation.light import (
    ANGLE_ROOTS,
    HEIGHT_STEP,
    LATERAL_ANGLES,
    LATERAL_REMAINDER,
    QUANTILES,
    STAGES,
)

LIGHT_SPEED = 0.299792458  # m / ns
MAX_SLICES = 12000
MAX_PHOTOELECTRONS = 30000  #: sampled in one camera; brighter images are scaled up

_STAGE0, _STAGE_STEP = float(STAGES[0]), float(STAGES[1] - STAGES[0])
_ROOT_STEP = float(ANGLE_ROOTS[1] - ANGLE_ROOTS[0])
_N_ROOTS = len(ANGLE_ROOTS)
_GROUP_STEP = (_N_ROOTS - 1) / (LATERAL_ANGLES - 1)


@numba.njit(cache=True, fastmath=True)
def slices_of(profile, axes, n_axes, core, frame, heights, cos_zenith, table_length, out, index):
    """Cut cascades into slices.

    Parameters
    ----------
    profile, axes, n_axes
        Result of `ctabatch.simulation.cascade.develop`.
    core : numpy.ndarray
        Where the primary's axis meets the ground, m, shape (3,).
    frame : numpy.ndarray
        Rows: two unit vectors across the axis, and the axis upwards, shape (3, 3).
    heights : numpy.ndarray
        Length along the axis by slant depth (`ctabatch.simulation.cascade.axis_heights`).
    cos_zenith : float
        Cosine of the zenith angle.
    table_length : numpy.ndarray
        Length of 1 g/cm2 by height (`LightTables.length`).
    out : numpy.ndarray
        Filled: position (3), direction upwards (3), particles times path (m), half length (m);
        shape (`MAX_SLICES`, 8).
    index : numpy.ndarray
        Filled: stage and height index of the tables, shape (`MAX_SLICES`, 2).

    Returns
    -------
    int
        Number of slices.
    """
    n = 0
    ground = float(heights.size - 1)
    for a in range(n_axes):
        row, line = axes[a], profile[a]
        norm = 1 / math.sqrt(1 + row[3] ** 2 + row[4] ** 2)
        top = altitude(row[0], heights)
        highest = 0.0
        for i in range(line.size):
            highest = max(highest, line[i])
        for i in range(line.size):
            depth = (i + 0.5) * DEPTH_STEP
            if line[i] <= 0.004 * highest or depth >= ground or n >= MAX_SLICES:
                continue
            along = altitude(depth, heights)
            height = int(along * cos_zenith / HEIGHT_STEP + 0.5)
            if height >= table_length.size:
                continue
            fall = max(top - along, 0.0)
            x, y = row[1] + row[3] * fall, row[2] + row[4] * fall
            half = 0.5 * DEPTH_STEP * table_length[height]
            slot = out[n]
            for k in range(3):
                slot[k] = core[k] + frame[2, k] * along + frame[0, k] * x + frame[1, k] * y
                slot[3 + k] = frame[2, k] - row[3] * frame[0, k] - row[4] * frame[1, k]
                slot[3 + k] *= norm
            slot[6], slot[7] = line[i] * 2 * half, half
            stage = int(((depth - row[5]) / RADIATION_LENGTH - _STAGE0) / _STAGE_STEP + 0.5)
            index[n, 0], index[n, 1] = min(max(stage, 0), STAGES.size - 1), height
            n += 1
    return n


@numba.njit(cache=True, fastmath=True)
def expected(slices, index, n, position, area, kind, detect, pointing, cos_field, intensity, mean):
    """Compute the mean number of photo-electrons of each slice in each telescope.

    Parameters
    ----------
    slices, index, n
        Result of `slices_of`.
    position : numpy.ndarray
        Telescopes, m, shape (telescopes, 3).
    area : numpy.ndarray
        Light collecting area times all factors, m2, shape (telescopes,).
    kind : numpy.ndarray
        Row of `detect` of each telescope.
    detect : numpy.ndarray
        Photo-electrons per photon by height, shape (kinds, heights).
    pointing : numpy.ndarray
        Unit vector, shape (3,).
    cos_field : numpy.ndarray
        Cosine of the radius of the field of view with a margin, shape (telescopes,).
    intensity : numpy.ndarray
        `LightTables.intensity`.
    mean : numpy.ndarray
        Filled; shape (telescopes, `MAX_SLICES`).

    Returns
    -------
    numpy.ndarray
        Sum for each telescope.
    """
    total = np.zeros(position.shape[0])
    for t in range(position.shape[0]):
        for i in range(n):
            slot = slices[i]
            x, y, z = slot[0] - position[t, 0], slot[1] - position[t, 1], slot[2] - position[t, 2]
            square = x * x + y * y + z * z
            mean[t, i] = 0.0
            if z <= 10.0:
                continue
            distance = math.sqrt(square)
            if x * pointing[0] + y * pointing[1] + z * pointing[2] < cos_field[t] * distance:
                continue
            cosine = (x * slot[3] + y * slot[4] + z * slot[5]) / distance
            root = math.sqrt(math.sqrt(max(2 * (1 - cosine), 0.0))) / _ROOT_STEP
            j = int(root)
            if j >= _N_ROOTS - 1:
                continue
            line = intensity[index[i, 0], index[i, 1]]
            value = line[j] + (line[j + 1] - line[j]) * (root - j)
            value *= slot[6] * area[t] * detect[kind[t], index[i, 1]] / square
            mean[t, i] = value
            total[t] += value
    return total


@numba.njit(cache=True, fastmath=True)
def register(x, y, z, optics, lookup, camera, rng):
    """Pixel of a photon from direction (x, y, z) in pointing coordinates; -1 outside."""
    lon = math.atan2(y, x)
    lat = math.atan2(z, math.sqrt(x * x + y * y))
    sigma = optics[0] * (1 + optics[1] * math.hypot(lat, lon))
    lat += sigma * rng.standard_normal()
    lon += sigma * rng.standard_normal()
    i = int((lat - camera[0]) / camera[1])
    j = int((lon - camera[0]) / camera[1])
    if lat < camera[0] or lon < camera[0] or i >= lookup.shape[0] or j >= lookup.shape[0]:
        return -1
    return lookup[i, j]


@numba.njit(cache=True, fastmath=True)
def photoelectrons(
    slices, index, n, mean, total, place, core, frame, lateral, moliere, view, optics, lookup, camera,
    count, time, rng,
):  # fmt: skip
    """Sample photo-electrons of cascades in one camera.

    Parameters
    ----------
    slices, index, n, mean, total
        Slices with their mean photo-electrons in this telescope, shape (n,), and its sum.
    place : numpy.ndarray
        Position of the telescope, m.
    core, frame : numpy.ndarray
        Geometry of the primary's axis, as in `slices_of`.
    lateral, moliere : numpy.ndarray
        Of `LightTables`.
    view : numpy.ndarray
        Rows: pointing, growing azimuth, growing altitude; shape (3, 3).
    optics : numpy.ndarray
        Width of the optical spot (rad) and its relative growth per rad.
    lookup, camera : numpy.ndarray
        Pixel of each cell of a field, -1 outside; lowest angle and size of the cells (rad).
    count, time : numpy.ndarray
        Photo-electrons and sum of their arrival times (ns) of each pixel; added to.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    float
        Factor to multiply `count` and `time` with.
    """
    scale = max(1.0, total / MAX_PHOTOELECTRONS)
    for i in range(n):
        mu = mean[i] / scale
        if mu <= 0.0:
            continue
        # Most slices of hadronic showers give less than one photo-electron.
        number = rng.poisson(mu) if mu > 0.02 else int(rng.random() < mu)
        if number == 0:
            continue
        slot = slices[i]
        x0, y0, z0 = slot[0] - place[0], slot[1] - place[1], slot[2] - place[2]
        distance = math.sqrt(x0 * x0 + y0 * y0 + z0 * z0)
        cosine = (x0 * slot[3] + y0 * slot[4] + z0 * slot[5]) / distance
        root = math.sqrt(math.sqrt(max(2 * (1 - cosine), 0.0))) / _ROOT_STEP
        group = min(int(root / _GROUP_STEP + 0.5), LATERAL_ANGLES - 1)
        quantile = lateral[index[i, 0], index[i, 1], group]
        radius = moliere[index[i, 1]] * LATERAL_REMAINDER
        for _ in range(number):
            shift = slot[7] * (2 * rng.random() - 1)
            q = rng.random() * (QUANTILES - 1)
            j = int(q)
            r = radius * (quantile[j] + (quantile[j + 1] - quantile[j]) * (q - j))
            angle = 2 * math.pi * rng.random()
            a, b = r * math.cos(angle), r * math.sin(angle)
            x = x0 + shift * slot[3] + a * frame[0, 0] + b * frame[1, 0]
            y = y0 + shift * slot[4] + a * frame[0, 1] + b * frame[1, 1]
            z = z0 + shift * slot[5] + a * frame[0, 2] + b * frame[1, 2]
            vx = x * view[0, 0] + y * view[0, 1] + z * view[0, 2]
            vy = x * view[1, 0] + y * view[1, 1] + z * view[1, 2]
            vz = x * view[2, 0] + y * view[2, 1] + z * view[2, 2]
            pixel = register(vx, vy, vz, optics, lookup, camera, rng)
            if pixel < 0:
                continue
            along = (x + place[0] - core[0]) * frame[2, 0] + (y + place[1] - core[1]) * frame[2, 1]
            along += (z + place[2] - core[2]) * frame[2, 2]
            count[pixel] += 1
            time[pixel] += (math.sqrt(x * x + y * y + z * z) - along) / LIGHT_SPEED
    return scale
