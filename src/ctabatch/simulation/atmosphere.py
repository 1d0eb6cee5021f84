"""The air: density, refraction and extinction of light, as tables over height."""

from dataclasses import dataclass

import numpy as np

#: Linsley's fit of the U.S. standard atmosphere (CORSIKA user's guide, appendix): bottom in m, a and b
#: in g/cm2, c in m.
US_STANDARD = np.array(
    [
        [0.0, -186.555305, 1222.6562, 9941.8638],
        [4e3, -94.919, 1144.9069, 8781.5355],
        [10e3, 0.61289, 1305.5948, 6361.4304],
        [40e3, 0.0, 540.1778, 7721.7016],
        [100e3, 0.01128292, 1.0, 1e7],
    ]
)

#: Refractivity n - 1 per density (cm3/g): 2.83e-4 at the density of the U.S. standard at sea level.
REFRACTIVITY = 2.83e-4 / 1.2250e-3

#: Rayleigh scattering: mean free path in g/cm2 at 400 nm (Bernloehr 2000; goes with wavelength^4).
RAYLEIGH_DEPTH = 2974.0

# Vertical optical depth of 300 Dobson units of ozone (Molina & Molina 1986: cross section times
# 8.07e18 / cm2). The layer lies above nearly all of the Cherenkov light; a tenth counts below it.
_OZONE = (
    (250, 260, 270, 280, 290, 300, 310, 320, 330, 340),
    (90, 90, 64, 32, 11.4, 3.2, 0.8, 0.21),
)
_OZONE = (_OZONE[0], (*_OZONE[1], 0.05, 0.01))


@dataclass(frozen=True)
class Air:
    """Properties of the air on a grid of heights.

    Parameters
    ----------
    height : numpy.ndarray
        Heights above sea level, m, rising evenly from the site's altitude.
    overburden : numpy.ndarray
        Vertical column density above each height, g/cm2.
    density : numpy.ndarray
        Density, g/cm3.
    refractivity : numpy.ndarray
        Refractive index minus one.
    layers : numpy.ndarray
        The five layers that this comes from, rows (bottom, a, b, c).
    card : ctabatch.simulation.card.AtmosphereCard
        Extinction parameters.
    """

    height: np.ndarray
    overburden: np.ndarray
    density: np.ndarray
    refractivity: np.ndarray
    layers: np.ndarray
    card: object

    @property
    def site_altitude(self):
        """Altitude of the site, m."""
        return self.height[0]

    def height_of(self, overburden):
        """Return the height, m, where the vertical column density is `overburden`, g/cm2."""
        return np.interp(-np.log(overburden), -np.log(self.overburden), self.height)

    def transmission(self, wavelengths, cos_zenith):
        """Return the part of light that comes from each height to the ground.

        Parameters
        ----------
        wavelengths : numpy.ndarray
            Wavelengths, nm, shape (m,).
        cos_zenith : float
            Cosine of the zenith angle of the light path.

        Returns
        -------
        numpy.ndarray
            Shape (number of heights, m).
        """
        ratio = 400.0 / np.asarray(wavelengths, dtype=float)
        column = self.overburden[0] - self.overburden
        above = self.height - self.site_altitude
        rayleigh = column[:, None] / RAYLEIGH_DEPTH * ratio**4
        aerosol = 1 - np.exp(-above / self.card.aerosol_scale_height.to_value("m"))
        aerosol = aerosol[:, None] * ratio**self.card.angstrom_exponent
        aerosol = aerosol * self.card.aerosol_optical_depth
        # Below the ozone layer its density follows that of the air: a tenth of the column.
        ozone = np.interp(wavelengths, *_OZONE, right=0.0) * self.card.ozone_factor
        ozone = 0.1 * (column / self.overburden[0])[:, None] * ozone
        return np.exp(-(rayleigh + aerosol + ozone) / cos_zenith)


def layers_of(card):
    """Return the layers of an atmosphere card: rows (bottom m, a g/cm2, b g/cm2, c m), shape (5, 4)."""
    if card.model == "us-standard":
        layers = US_STANDARD.copy()
    else:
        layers = np.array(
            [
                [
                    layer.bottom.to_value("m"),
                    layer.a.to_value("g / cm2"),
                    layer.b.to_value("g / cm2"),
                    layer.c.to_value("m"),
                ]
                for layer in card.layers
            ]
        )
    layers[:, 1:3] *= card.column_factor
    return layers


def make_air(card, site_altitude, top=60e3, step=50.0) -> Air:
    """Make the tables of the air above a site.

    Parameters
    ----------
    card : ctabatch.simulation.card.AtmosphereCard
        Model of the atmosphere.
    site_altitude : float
        Altitude of the site, m.
    top : float
        Largest height, m.
    step : float
        Distance of the heights, m.
    """
    layers = layers_of(card)
    height = np.arange(site_altitude, top, step)
    overburden, density = overburden_density(layers, height)
    return Air(height, overburden, density, REFRACTIVITY * density, layers, card)


def overburden_density(layers, height):
    """Return overburden, g/cm2, and density, g/cm3, of five layers below their top at 100 km.

    Parameters
    ----------
    layers : numpy.ndarray
        Result of `layers_of`.
    height : numpy.ndarray
        Heights above sea level, m.
    """
    index = np.searchsorted(layers[:, 0], height, side="right") - 1
    _, a, b, c = layers[np.clip(index, 0, 3)].T
    fall = b * np.exp(-height / c)
    return a + fall, fall / (c * 100)


def ctapipe_profile(air):
    """Make ctapipe's density profile of the same atmosphere, from sea level to 100 km.

    A table, because ctapipe 0.32 can't store its five-layer profile (a column is named ``1/c``).
    """
    import astropy.units as u
    from astropy.table import QTable
    from ctapipe.atmosphere import TableAtmosphereDensityProfile

    height = np.concatenate([np.arange(0, 30e3, 250.0), np.arange(30e3, 100e3, 1000.0)])
    overburden, density = overburden_density(air.layers, height)
    table = QTable(
        {
            "height": u.Quantity(height, u.m).to(u.km),
            "density": u.Quantity(density, "g / cm3"),
            "column_density": u.Quantity(overburden, "g / cm2"),
        }
    )
    table.meta.update(TAB_VER=1, TAB_TYPE="ctapipe.atmosphere.TableAtmosphereDensityProfile")
    return TableAtmosphereDensityProfile(table)
