"""Telescopes and cameras built from published parameters, and ctapipe's description of them.

Sizes are those of CTAO's public performance and technology tables (mirror area with shadowing, focal
length, pixels, field of view), of the camera papers named at each model, and nominal values where
those leave a gap (said so in the comment). Pixels are laid out by geometry, not read from a file.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

#: Wavelengths (nm) between which light is followed.
WAVELENGTHS = np.linspace(250.0, 700.0, 91)

# Quantum efficiency of the 1.5-inch photomultipliers (Toyama et al. 2015, Hamamatsu R11920/R12992),
# and photon detection efficiency of silicon photomultipliers behind a filter window against red
# night-sky light (White et al. 2021, SSTCAM); read off the figures to about 2 %.
_PMT = (
    (250, 260, 280, 300, 320, 350, 380, 400, 420, 450, 480, 500, 520, 550, 580, 600, 650, 700),
    (0.02, 0.1, 0.27, 0.36, 0.39, 0.41, 0.41, 0.4, 0.37, 0.33, 0.28, 0.24, 0.19, 0.12, 0.08,
     0.055, 0.02, 0.005),
)  # fmt: skip
_SIPM = (
    (250, 280, 300, 320, 350, 380, 400, 450, 500, 540, 560, 600, 700),
    (0.0, 0.10, 0.25, 0.34, 0.42, 0.47, 0.49, 0.50, 0.46, 0.40, 0.25, 0.08, 0.02),
)
# Aluminised glass with a protective coating (Förster et al. 2014): 0.85-0.92 between 300 and 550 nm.
_MIRROR = ((250, 280, 300, 350, 400, 500, 600, 700), (0.6, 0.8, 0.85, 0.90, 0.91, 0.90, 0.88, 0.85))


@dataclass(frozen=True)
class TelescopeModel:
    """Optics, camera and trigger of one type of telescope.

    Lengths in m, areas in m2, times in ns, angles in deg. `key` is the type used in run cards.
    """

    key: str
    optics: str
    camera: str
    size: str
    shape: str
    mirrors: int
    tiles: int
    mirror_area: float  #: geometric area of the primary, m2
    light_area: float  #: area after shadowing, m2
    focal_length: float
    effective_focal_length: float  #: with the mean effect of coma, as ctapipe uses it
    psf: float  #: width (one sigma and axis) of the optical spot on axis, deg
    psf_growth: float  #: relative growth of the spot a degree off axis
    reflections: int
    #: Window, light guides, collection and ageing, independent of wavelength; nominal, chosen with
    #: `trigger_charge` so that the effective area of CTAO-North is near the published one.
    transmission: float
    sensor: tuple = field(repr=False)
    hexagonal: bool = True
    pitch: float = 0.05  #: distance of neighbouring pixels, m
    pixel_width: float = 0.049
    nsb_rate: float = 0.24  #: night-sky photo-electrons a pixel and ns under a dark sky
    charge_window: float = 8.0  #: ns that a pixel's charge is summed over
    charge_spread: float = 0.45  #: relative width of the single photo-electron charge
    electronic_noise: float = 0.6  #: of the summed charge, p.e.
    sampling_rate: float = 1.0  #: GHz
    samples: int = 60
    pulse_width: float = 2.5  #: full width at half maximum of a single p.e. pulse, ns
    trigger_charge: float = 40.0  #: p.e. in a pixel and its neighbours that start the readout
    trigger_jitter: float = 0.7  #: spread of the arrival time of one p.e., ns

    def efficiency(self):
        """Return the probability of a photo-electron for a photon on the mirror at `WAVELENGTHS`."""
        mirror = np.interp(WAVELENGTHS, *_MIRROR) ** self.reflections
        return mirror * self.transmission * np.interp(WAVELENGTHS, *self.sensor)


MODELS = {
    model.key: model
    for model in (
        # LST: 23 m parabolic, 370 m2 with shadowing, f = 28 m, 1855 pixels of 0.1 deg
        # (CTAO table; Abe et al. 2023, LST-1 performance).
        TelescopeModel(
            "LST", "LST", "LSTCam", "LST", "PARABOLIC", 1, 198, 386.7, 370.0, 28.0, 29.237,
            psf=0.028, psf_growth=0.35, reflections=1, transmission=0.51, sensor=_PMT,
            nsb_rate=0.246, sampling_rate=1.024, samples=40, pulse_width=2.64, trigger_charge=34.0,
        ),
        # MST: 12 m modified Davies-Cotton, 88 m2 with shadowing, f = 16 m (CTAO table);
        # NectarCam: 265 modules of 7 pixels, 0.17 deg (Glicenstein et al. 2013).
        TelescopeModel(
            "MST-NectarCam", "MST", "NectarCam", "MST", "HYBRID", 1, 86, 106.2, 88.0, 16.0, 16.445,
            psf=0.040, psf_growth=0.15, reflections=1, transmission=0.51, sensor=_PMT,
            nsb_rate=0.24, samples=60, pulse_width=2.45, trigger_charge=40.0,
        ),
        # FlashCam: 147 modules of 12 pixels, 250 MHz sampling of a shaped pulse (Puehlhofer 2019).
        TelescopeModel(
            "MST-FlashCam", "MST", "FlashCam", "MST", "HYBRID", 1, 86, 106.2, 88.0, 16.0, 16.445,
            psf=0.040, psf_growth=0.15, reflections=1, transmission=0.50, sensor=_PMT,
            nsb_rate=0.24, charge_window=10.0, sampling_rate=0.25, samples=36, pulse_width=8.0,
            trigger_charge=40.0,
        ),
        # SST: dual mirror 4.3 m and 1.8 m, > 5 m2 with shadowing, f = 2.15 m, 2048 pixels of
        # 0.16 deg in 32 modules (CTAO table; White et al. 2021).
        TelescopeModel(
            "SST", "SST", "SSTCam", "SST", "SCHWARZSCHILD_COUDER", 2, 18, 14.1, 7.0, 2.15, 2.15191,
            psf=0.050, psf_growth=0.02, reflections=2, transmission=0.62, sensor=_SIPM,
            hexagonal=False, pitch=0.0062, pixel_width=0.006, nsb_rate=0.04, charge_window=12.0,
            charge_spread=0.35, electronic_noise=0.4, samples=128, pulse_width=9.0,
            trigger_charge=22.0, trigger_jitter=1.0,
        ),
    )
}  # fmt: skip


def _hexagon(radius):
    """Axial coordinates of the points of a hexagonal lattice up to `radius` steps from the centre."""
    q, r = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    steps = np.maximum(np.maximum(abs(q), abs(r)), abs(q + r))
    inside = steps <= radius
    order = np.argsort(steps[inside], kind="stable")
    return q[inside][order], r[inside][order], steps[inside][order]


def _seven_pixel_modules():
    """Pixels of LSTCam and NectarCam in units of the pitch: hexagon of modules without its corners.

    Modules (a pixel and its six neighbours) sit on a hexagonal lattice with a step of sqrt(7) pixels.
    A hexagon of 9 steps has 271 places; without the corners 265 modules, 1855 pixels remain.
    """
    q, r, _ = _hexagon(9)
    corner = np.sort(np.abs(np.stack([q, r, q + r])), axis=0)[0] == 0
    corner &= np.maximum(np.maximum(abs(q), abs(r)), abs(q + r)) == 9
    q, r = q[~corner], r[~corner]
    step = np.sqrt(7) * np.exp(1j * np.deg2rad([0, 60]))
    centre = q * step[0] + r * step[1]
    tilt = np.arctan2(np.sqrt(3), 5)
    flower = np.concatenate([[0], np.exp(1j * (np.arange(6) * np.pi / 3 - tilt))])
    pixel = (centre[:, None] + flower[None, :]).ravel()
    return pixel.real, pixel.imag, np.rad2deg(-tilt) % 60


def _flashcam_pixels():
    """Pixels of FlashCam in units of the pitch: the 1764 innermost of a hexagonal lattice.

    The number and size are FlashCam's; the outline of its 147 modules is approximated by the
    lattice points nearest to the centre.
    """
    q, r, _ = _hexagon(26)
    pixel = q + r * np.exp(1j * np.pi / 3)
    order = np.lexsort((np.angle(pixel).round(6), np.abs(pixel).round(6)))[:1764]
    return pixel.real[order], pixel.imag[order], 0.0


def _sst_pixels():
    """Pixels of SSTCAM in units of the pitch: 6 x 6 modules of 8 x 8 pixels without the corners."""
    places = [(i, j) for i in range(6) for j in range(6) if not {i, j} <= {0, 5}]
    gap = 0.3  # dead space between modules in units of the pitch; nominal
    cell = np.arange(8) - 3.5
    x = [(8 + gap) * (i - 2.5) + np.repeat(cell, 8) for i, _ in places]
    y = [(8 + gap) * (j - 2.5) + np.tile(cell, 8) for _, j in places]
    return np.concatenate(x), np.concatenate(y), 0.0


_LAYOUTS = {
    "LSTCam": _seven_pixel_modules,
    "NectarCam": _seven_pixel_modules,
    "FlashCam": _flashcam_pixels,
    "SSTCam": _sst_pixels,
}


@cache
def make_telescope(key):
    """Make ctapipe's description of a telescope type.

    Parameters
    ----------
    key : str
        One of `MODELS`.

    Returns
    -------
    ctapipe.instrument.TelescopeDescription
    """
    import astropy.units as u
    from ctapipe.coordinates import CameraFrame
    from ctapipe.instrument import (
        CameraDescription,
        CameraGeometry,
        CameraReadout,
        OpticsDescription,
        PixelShape,
        TelescopeDescription,
    )

    model = MODELS[key]
    x, y, rotation = _LAYOUTS[model.camera]()
    width = model.pixel_width
    area = width**2 * (np.sqrt(3) / 2 if model.hexagonal else 1)
    focal_length = model.effective_focal_length * u.m
    geometry = CameraGeometry(
        name=model.camera,
        pix_id=np.arange(len(x)),
        pix_x=x * model.pitch * u.m,
        pix_y=y * model.pitch * u.m,
        pix_area=np.full(len(x), area) * u.m**2,
        pix_type=PixelShape.HEXAGON if model.hexagonal else PixelShape.SQUARE,
        pix_rotation=rotation * u.deg,
        neighbors=_neighbours(x, y, model.hexagonal),
        frame=CameraFrame(focal_length=focal_length),
    )
    # An approximate pulse: a Gaussian of the published width, four widths long.
    step = 0.1
    t = np.arange(-2 * model.pulse_width, 2 * model.pulse_width + step / 2, step)
    pulse = np.exp(-4 * np.log(2) * (t / model.pulse_width) ** 2)
    readout = CameraReadout(
        name=model.camera,
        sampling_rate=model.sampling_rate * u.GHz,
        reference_pulse_shape=pulse[None, :],
        reference_pulse_sample_width=step * u.ns,
        n_channels=1,
        n_pixels=len(x),
        n_samples=model.samples,
    )
    optics = OpticsDescription(
        name=model.optics,
        size_type=model.size,
        reflector_shape=model.shape,
        n_mirrors=model.mirrors,
        n_mirror_tiles=model.tiles,
        mirror_area=model.mirror_area * u.m**2,
        equivalent_focal_length=model.focal_length * u.m,
        effective_focal_length=focal_length,
    )
    camera = CameraDescription(model.camera, geometry, readout)
    return TelescopeDescription(name=model.optics, optics=optics, camera=camera)


def _neighbours(x, y, hexagonal):
    """Pairs of pixels that share an edge; modules count as touching across their gap."""
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    reach = 1.2 if hexagonal else 1.36  # < sqrt(2): no diagonal neighbours
    i, j = cKDTree(np.c_[x, y]).query_pairs(reach, output_type="ndarray").T
    data = np.ones(2 * len(i), dtype=bool)
    return csr_array((data, (np.r_[i, j], np.r_[j, i])), shape=(len(x), len(x)))


def make_subarray(array, name=None):
    """Make ctapipe's description of an array.

    Parameters
    ----------
    array : ctabatch.simulation.subarrays.Layout or ctabatch.simulation.card.RunCard
        Has `site` and `telescopes`.
    name : str, optional
        Name of the subarray; that of the layout or site by default.

    Returns
    -------
    ctapipe.instrument.SubarrayDescription
    """
    import astropy.units as u
    from astropy.coordinates import EarthLocation
    from ctapipe.instrument import SubarrayDescription

    site = array.site
    positions = {
        telescope.id: u.Quantity([telescope.x, telescope.y, telescope.z]).to(u.m)
        for telescope in array.telescopes
    }
    return SubarrayDescription(
        name=name or getattr(array, "name", site.name),
        tel_positions=positions,
        tel_descriptions={t.id: make_telescope(t.type) for t in array.telescopes},
        reference_location=EarthLocation.from_geodetic(
            lon=site.longitude, lat=site.latitude, height=site.altitude
        ),
    )
