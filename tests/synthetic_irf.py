"""Small IRFs with the HDUs of ``ctapipe-compute-irf``, drawn from known responses.

Numbers of events are drawn (fixed seed), so that statistical checks see real scatter.
"""

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from ctapipe.irf.binning import make_bins_per_decade
from pyirf.io import (
    create_aeff2d_hdu,
    create_background_2d_hdu,
    create_energy_dispersion_hdu,
    create_psf_table_hdu,
)

from ctabatch.config.irf import IRFRequest
from ctabatch.irf.statistics import energy_fraction, offset_fraction

REQUEST = IRFRequest.model_validate(
    {
        "name": "test",
        "period": "2026-01-01/2026-07-01",
        "site": "CTAO-North",
        "subarray": "alpha-north",
        "pointing": {"zenith": "20 deg", "azimuth": "180 deg"},
        "precision": {"effective_area": 0.1, "background": 0.2, "offset_max": "2 deg"},
    }
)
THROWN = {
    "gamma": {
        "showers": 24_000_000,
        "scatter_radius_m": 1500.0,
        "view_cone_deg": 5.0,
        "energy_min_TeV": 0.02,
        "energy_max_TeV": 100.0,
        "spectral_index": -2.0,
    },
    "proton": {
        "showers": 10_000_000,
        "scatter_radius_m": 1500.0,
        "view_cone_deg": 7.0,
        "energy_min_TeV": 0.05,
        "energy_max_TeV": 200.0,
        "spectral_index": -2.0,
    },
    "electron": {
        "showers": 1_000_000,
        "scatter_radius_m": 1500.0,
        "view_cone_deg": 7.0,
        "energy_min_TeV": 0.02,
        "energy_max_TeV": 50.0,
        "spectral_index": -2.0,
    },
}
#: Mean weight of a background event in 50 h.
WEIGHT = 40.0


@dataclass
class SyntheticIRF:
    """Arrays as `pyirf` makes them; change them, then `write`."""

    energy: u.Quantity
    offset: u.Quantity
    migration: np.ndarray
    distance: u.Quantity
    aeff: np.ndarray  #: m2, shape (energy, offset)
    counts: np.ndarray  #: selected gammas, shape (energy, offset)
    edisp: np.ndarray  #: shape (energy, migration, offset)
    psf: np.ndarray  #: 1/sr, shape (energy, offset, distance)
    background: np.ndarray  #: 1/(MeV s sr), shape (energy, offset)
    background_counts: np.ndarray  #: shape (energy, offset)
    drop: tuple = ()  #: names of HDUs that are left out
    headers: dict = field(default_factory=dict)  #: HDU name -> cards to change; None removes

    def hdus(self):
        """Return the HDU list of the IRF."""
        particles = [
            create_aeff2d_hdu(
                self.aeff * scale * u.m**2,
                self.energy,
                self.offset,
                point_like=False,
                extname=f"EFFECTIVE AREA{name}",
            )
            for name, scale in (("", 1.0), (" PROTONS", 0.01), (" ELECTRONS", 0.5))
        ]
        hdus = [
            fits.PrimaryHDU(),
            particles[0],
            create_energy_dispersion_hdu(
                self.edisp,
                self.energy,
                self.migration,
                self.offset,
                point_like=False,
                extname="ENERGY DISPERSION",
            ),
            create_psf_table_hdu(
                self.psf / u.sr, self.energy, self.distance, self.offset, extname="PSF"
            ),
            create_background_2d_hdu(
                self.background * u.Unit("MeV-1 s-1 sr-1"), self.energy, self.offset
            ),
            *particles[1:],
        ]
        for hdu in hdus:
            for key, value in self.headers.get(hdu.name, {}).items():
                if value is None:
                    del hdu.header[key]
                else:
                    hdu.header[key] = value
        return fits.HDUList([hdu for hdu in hdus if hdu.name not in self.drop])

    def write(self, folder, name="irf.fits.gz"):
        """Write IRF and benchmarks; returns their paths."""
        path = Path(folder) / name
        self.hdus().writeto(path, overwrite=True)
        return path, self.write_benchmarks(folder, name)

    def write_benchmarks(self, folder, name="irf.fits.gz"):
        """Write the tables of the benchmarks file that validation and plots read."""
        axes = {
            "ENERG_LO": self.energy[None, :-1],
            "ENERG_HI": self.energy[None, 1:],
            "THETA_LO": self.offset[None, :-1],
            "THETA_HI": self.offset[None, 1:],
        }
        resolution = QTable({**axes, "N_EVENTS": self.counts.T[None].astype(float)})
        plain = self.background_counts * 0.07
        sensitivity = QTable(
            {
                **axes,
                "N_BACKGROUND": plain.T[None],
                "N_BACKGROUND_WEIGHTED": plain.T[None] * WEIGHT,
                "ENERGY_FLUX_SENSITIVITY": np.full((1, *plain.T.shape), 1e-12)
                * u.Unit("erg cm-2 s-1"),
            }
        )
        path = Path(folder) / f"benchmarks-{name}"
        fits.HDUList(
            [
                fits.PrimaryHDU(),
                fits.BinTableHDU(resolution, name="ENERGY BIAS RESOLUTION"),
                fits.BinTableHDU(sensitivity, name="SENSITIVITY"),
            ]
        ).writeto(path, overwrite=True)
        return path


def make_irf(scale=1.0, seed=7):
    """Draw an IRF of a medium array, its effective area multiplied by `scale`."""
    random = np.random.default_rng(seed)
    energy = make_bins_per_decade(0.05 * u.TeV, 50 * u.TeV, 5)
    offset = np.linspace(0, 4, 5) * u.deg
    migration = np.geomspace(0.2, 5, 31)
    distance = np.linspace(0, 1, 51) * u.deg
    edges, theta = energy.to_value("TeV"), offset.to_value("rad")
    centre = np.sqrt(edges[1:] * edges[:-1])
    middle = (offset[1:] + offset[:-1]).to_value("deg") / 2
    gamma = THROWN["gamma"]
    thrown = (
        gamma["showers"]
        * energy_fraction(edges[:-1], edges[1:], 0.02, 100, -2)[:, None]
        * offset_fraction(theta[:-1], theta[1:], np.radians(5))[None, :]
    )
    area = np.pi * gamma["scatter_radius_m"] ** 2
    true = (3e5 * (centre / 1) ** 0.4 / (1 + (0.08 / centre) ** 2.5))[:, None]
    true = scale * true * np.exp(-((middle / 3.5) ** 2))[None, :]
    counts = random.binomial(np.round(thrown).astype(int), true / area)

    shape = counts.shape
    width = 0.1 + 0.05 / np.sqrt(centre)
    z = np.diff(_normal_cdf((migration[None, :] - 1) / width[:, None]), axis=1)
    edisp = np.stack(
        [random.multinomial(np.maximum(counts[:, o], 1), z / z.sum(1)[:, None]) for o in range(4)],
        axis=-1,
    )
    edisp = edisp / edisp.sum(axis=1, keepdims=True) / np.diff(migration)[None, :, None]
    sigma = 0.06 * (centre**-0.5 + 0.4)
    radial = np.exp(-(distance.to_value("deg")[None, :] ** 2) / (2 * sigma[:, None] ** 2))
    inside = -np.diff(radial, axis=1)
    psf = np.stack(
        [
            random.multinomial(np.maximum(counts[:, o], 1), inside / inside.sum(1)[:, None])
            for o in range(4)
        ],
        axis=1,
    )
    solid = 4 * np.pi * np.diff(np.sin(distance.to_value("rad") / 2) ** 2)
    psf = psf / psf.sum(axis=-1, keepdims=True) / solid

    ring = 4 * np.pi * np.diff(np.sin(theta / 2) ** 2)
    expected = 40 * (centre / 0.1) ** -0.5
    background_counts = random.poisson(expected[:, None] * ring / ring[0], shape)
    time = REQUEST.observation_time.to_value("s")
    background = background_counts * WEIGHT / (np.diff(edges) * 1e6)[:, None] / ring[None, :] / time
    aeff = counts / thrown * area
    return SyntheticIRF(
        energy, offset, migration, distance, aeff, counts, edisp, psf, background, background_counts
    )


def compress(path):
    """Compress a file by gzip, without name or time in it."""
    return gzip.compress(Path(path).read_bytes(), mtime=0)


def _normal_cdf(x):
    from scipy.special import ndtr

    return ndtr(x)
