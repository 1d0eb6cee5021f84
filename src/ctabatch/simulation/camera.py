"""Response of cameras: pixels, night-sky light, trigger, and images with peak times."""

from dataclasses import dataclass

import numba
import numpy as np

from ctabatch.simulation.instrument import make_telescope

#: Cells of the look-up table of pixels per pixel pitch.
CELLS_PER_PITCH = 12


@dataclass(frozen=True)
class Camera:
    """A camera as the compiled functions need it.

    Parameters
    ----------
    model : ctabatch.simulation.instrument.TelescopeModel
        Where the parameters come from.
    lookup : numpy.ndarray
        Pixel index of cells of the field, -1 outside; first axis altitude, second azimuth.
    grid : numpy.ndarray
        Lowest angle and size of the cells, rad.
    optics : numpy.ndarray
        Width of the optical spot, rad, and its relative growth per rad.
    neighbours : numpy.ndarray
        Neighbours of each pixel, filled up with -1, shape (pixels, 6).
    field : float
        Radius of the field of view, rad.
    settings : numpy.ndarray
        Night-sky p.e. a pixel, charge spread, electronic noise (p.e.), trigger charge (p.e.), jitter
        of arrival times (ns), readout window (ns).
    """

    model: object
    lookup: np.ndarray
    grid: np.ndarray
    optics: np.ndarray
    neighbours: np.ndarray
    field: float
    settings: np.ndarray

    @property
    def pixels(self):
        """Number of pixels."""
        return len(self.neighbours)


def make_camera(model, nsb=1.0) -> Camera:
    """Make a camera.

    Parameters
    ----------
    model : ctabatch.simulation.instrument.TelescopeModel
        Type of the telescope.
    nsb : float
        Night-sky background relative to a dark sky.
    """
    from scipy.spatial import cKDTree

    geometry = make_telescope(model.key).camera.geometry
    focal_length = model.effective_focal_length
    # ctapipe: x of the camera frame is altitude, y azimuth, angle = distance / focal length.
    pixels = np.c_[geometry.pix_x.value, geometry.pix_y.value] / focal_length
    pitch = model.pitch / focal_length
    edge = np.abs(pixels).max() + pitch
    step = pitch / CELLS_PER_PITCH
    n = int(2 * edge / step) + 1
    centre = -edge + step * (np.arange(n) + 0.5)
    cells = np.stack(np.meshgrid(centre, centre, indexing="ij"), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(pixels).query(cells, distance_upper_bound=pitch)
    inside = np.isfinite(distance)
    nearest[~inside] = 0
    offset = np.abs(cells - pixels[nearest])
    reach = 0.56 * pitch if model.hexagonal else 0.51 * pitch
    inside &= (distance if model.hexagonal else offset.max(axis=1)) <= reach
    lookup = np.where(inside, nearest, -1).astype(np.int32).reshape(n, n)

    matrix = geometry.neighbor_matrix
    neighbours = np.full((len(pixels), 6), -1, np.int32)
    for pixel in range(len(pixels)):
        found = np.flatnonzero(matrix[pixel])[:6]
        neighbours[pixel, : len(found)] = found
    settings = np.array(
        [
            model.nsb_rate * nsb * model.charge_window,
            model.charge_spread,
            model.electronic_noise,
            model.trigger_charge,
            model.trigger_jitter,
            model.samples / model.sampling_rate,
        ]
    )
    return Camera(
        model,
        lookup,
        np.array([-edge, step]),
        np.array([np.deg2rad(model.psf), np.rad2deg(model.psf_growth)]),
        neighbours,
        float(np.hypot(*pixels.T).max()),
        settings,
    )


@numba.njit(cache=True, fastmath=True)
def _largest_cluster(image, neighbours):
    """Return the largest sum of a pixel and its neighbours."""
    largest = 0.0
    for pixel in range(image.size):
        total = image[pixel]
        for k in range(neighbours.shape[1]):
            other = neighbours[pixel, k]
            if other >= 0:
                total += image[other]
        largest = max(largest, total)
    return largest


@numba.njit(cache=True, fastmath=True)
def respond(count, time, scale, neighbours, settings, rng, image, peak, true):
    """Turn photo-electrons into an image, if the camera triggers.

    Parameters
    ----------
    count, time, scale
        Photo-electrons and sums of arrival times (ns) of each pixel, and the factor on both.
    neighbours, settings
        Of `Camera`.
    rng : numpy.random.Generator
        Source of random numbers.
    image, peak, true : numpy.ndarray
        Filled: charge (p.e., pedestal subtracted), peak time (ns in the readout window), Cherenkov
        photo-electrons.

    Returns
    -------
    bool
        Whether the camera triggers.
    """
    nsb, spread, electronic, threshold, jitter, window = settings
    n = count.size
    for pixel in range(n):
        true[pixel] = int(count[pixel] * scale + 0.5)
        image[pixel] = count[pixel] * scale
    # Cheap look first: noise adds at most some standard deviations to seven pixels.
    noise = np.sqrt(7 * (nsb * (1 + spread**2) + electronic**2))
    bright = _largest_cluster(image, neighbours)
    if bright + 4 * noise + 3 * spread * np.sqrt(bright) < threshold:
        return False
    for pixel in range(n):
        charge = true[pixel] + rng.poisson(nsb)
        width = np.sqrt(electronic**2 + spread**2 * charge)
        image[pixel] = charge - nsb + width * rng.standard_normal()
    if _largest_cluster(image, neighbours) < threshold:
        return False
    # The readout window is centred on the mean arrival of the light.
    total, start = 0.0, 0.0
    for pixel in range(n):
        total += count[pixel]
        start += time[pixel]
    start = start / total - 0.5 * window
    for pixel in range(n):
        seen = count[pixel] * scale
        if rng.random() * (seen + nsb) < seen:
            width = jitter / np.sqrt(seen)
            value = time[pixel] / count[pixel] - start + width * rng.standard_normal()
            peak[pixel] = min(max(value, 0.0), window)
        else:
            peak[pixel] = window * rng.random()
    return True
