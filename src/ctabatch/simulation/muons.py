"""Light of muons: rings and arcs of single particles, photo-electron by photo-electron."""

import math

import numba

from ctabatch.simulation.cascade import altitude
from ctabatch.simulation.hadrons import MUON_LOSS
from ctabatch.simulation.light import HEIGHT_STEP, PHOTONS_PER_METRE
from ctabatch.simulation.photons import LIGHT_SPEED, register

MUON_MASS = 105.66e-6  #: TeV
#: Muons that pass a mirror at a larger distance give too little light to matter, m.
REACH = 250.0


@numba.njit(cache=True, fastmath=True)
def muon_light(
    muons, n, core, frame, heights, cos_zenith, place, radius, factor, detect, refractivity, view,
    optics, lookup, camera, count, time, rng,
):  # fmt: skip
    """Sample photo-electrons of muons in one camera.

    A muon radiates on a cone around its straight track. Each point of the mirror sees the light from
    where the track lies at the Cherenkov angle, which gives rings, arcs and, far away, short streaks.

    Parameters
    ----------
    muons, n
        Tracks of `ctabatch.simulation.cascade.develop` and their number.
    core, frame, heights, cos_zenith
        Geometry of the primary's axis, as in `slices_of`.
    place, radius : numpy.ndarray, float
        Position and radius of the mirror, m.
    factor : float
        Factor on the light (throughput, shadowing).
    detect, refractivity : numpy.ndarray
        Photo-electrons per photon, and n - 1, by height.
    view, optics, lookup, camera, count, time, rng
        As in `photoelectrons`.

    Returns
    -------
    int
        Number of photo-electrons.
    """
    found = 0
    for m in range(n):
        row = muons[m]
        top = altitude(row[1], heights)
        norm = 1 / math.sqrt(1 + row[4] ** 2 + row[5] ** 2)
        ux = (frame[2, 0] - row[4] * frame[0, 0] - row[5] * frame[1, 0]) * norm
        uy = (frame[2, 1] - row[4] * frame[0, 1] - row[5] * frame[1, 1]) * norm
        uz = (frame[2, 2] - row[4] * frame[0, 2] - row[5] * frame[1, 2]) * norm
        # Birth of the muon relative to the telescope.
        bx = core[0] + frame[2, 0] * top + frame[0, 0] * row[2] + frame[1, 0] * row[3] - place[0]
        by = core[1] + frame[2, 1] * top + frame[0, 1] * row[2] + frame[1, 1] * row[3] - place[1]
        bz = core[2] + frame[2, 2] * top + frame[0, 2] * row[2] + frame[1, 2] * row[3] - place[2]
        length = bx * ux + by * uy + bz * uz  # from the closest approach up to the birth
        cx, cy, cz = bx - length * ux, by - length * uy, bz - length * uz
        impact = math.sqrt(cx * cx + cy * cy + cz * cz)
        if impact > REACH + radius:
            continue
        # Height where the light for the middle of the mirror comes from.
        height = 0
        theta = 0.0
        for _ in range(3):
            if height >= refractivity.size:
                break
            energy = row[0] - MUON_LOSS * (
                _depth_below(top, height * HEIGHT_STEP, heights, cos_zenith)
            )
            gain = 1 - (MUON_MASS / max(energy, MUON_MASS)) ** 2 / (2 * refractivity[height])
            theta = math.sqrt(2 * refractivity[height] * gain) if gain > 0 else 0.0
            if theta == 0.0:
                break
            height = int(max(impact - 0.5 * radius, 0.5 * radius) / theta * uz / HEIGHT_STEP + 0.5)
        if theta == 0.0 or height >= refractivity.size:
            continue
        # Photons per m2 at distance r from the track: yield / (2 pi r tan(theta)).
        near = max(impact, 0.6 * radius)
        photons = PHOTONS_PER_METRE * theta * theta * math.pi * radius * radius
        photons *= factor * detect[height] / (2 * math.pi * near * theta)
        number = rng.poisson(min(photons, 5000.0))
        # Two directions across the track.
        px, py, pz = -uz, 0.0, ux
        size = math.sqrt(px * px + pz * pz)
        px, pz = px / size, pz / size
        qx, qy, qz = uy * pz - uz * py, uz * px - ux * pz, ux * py - uy * px
        for _ in range(number):
            r = radius * math.sqrt(rng.random())
            angle = 2 * math.pi * rng.random()
            a, b = r * math.cos(angle), r * math.sin(angle)
            # From the point of the mirror to the track, across it.
            x, y, z = cx - a * px - b * qx, cy - a * py - b * qy, cz - a * pz - b * qz
            across = math.sqrt(x * x + y * y + z * z) + 1e-9
            along = across / theta
            if along > length:
                continue
            turn = 1 / across
            x, y, z = ux + theta * x * turn, uy + theta * y * turn, uz + theta * z * turn
            vx = x * view[0, 0] + y * view[0, 1] + z * view[0, 2]
            vy = x * view[1, 0] + y * view[1, 1] + z * view[1, 2]
            vz = x * view[2, 0] + y * view[2, 1] + z * view[2, 2]
            pixel = register(vx, vy, vz, optics, lookup, camera, rng)
            if pixel < 0:
                continue
            path = math.sqrt(across * across + along * along)
            count[pixel] += 1
            time[pixel] += (path - along - _delay(core, place, frame)) / LIGHT_SPEED
            found += 1
    return found


@numba.njit(cache=True, fastmath=True)
def _delay(core, place, frame):
    """Length that the shower's front still travels from the telescope's plane to the core's, m."""
    x = (place[0] - core[0]) * frame[2, 0] + (place[1] - core[1]) * frame[2, 1]
    return x + (place[2] - core[2]) * frame[2, 2]


@numba.njit(cache=True, fastmath=True)
def _depth_below(top, height, heights, cos_zenith):
    """Slant depth between the birth of a muon at `top` (m along the axis) and a height, g/cm2."""
    low, high = 0, heights.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if heights[middle] > height / cos_zenith:
            low = middle
        else:
            high = middle
    end = low
    low, high = 0, heights.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if heights[middle] > top:
            low = middle
        else:
            high = middle
    return max(end - low, 0)
