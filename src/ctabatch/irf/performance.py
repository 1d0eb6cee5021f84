"""What an IRF can do, in the numbers that people compare: resolutions, rates, sensitivity."""

import numpy as np

#: Share of events inside the angular resolution, and within the energy resolution's band.
CONTAINMENT = 0.68


def energy_resolution(component):
    """Bias and resolution of the energy from the energy dispersion.

    Parameters
    ----------
    component : ctabatch.irf.component.Component
        Energy dispersion; need not be normalised.

    Returns
    -------
    bias, resolution : numpy.ndarray
        Median of E_reco / E_true minus 1, and half the width of the central 68 % interval of
        E_reco / E_true. Shape (energy, offset); NaN where there are no events.
    """
    edges = component.edges["MIGRA"]
    density = np.moveaxis(component.data, 1, -1)
    # probabilities; a table of probabilities in place of densities has bins of equal width
    content = density * np.diff(edges)
    low, middle, high = (
        _quantile(content, edges, level)
        for level in ((1 - CONTAINMENT) / 2, 0.5, (1 + CONTAINMENT) / 2)
    )
    return middle - 1, (high - low) / 2


def angular_resolution(component, containment=CONTAINMENT):
    """Radius of the circle that contains a share of the events.

    Parameters
    ----------
    component : ctabatch.irf.component.Component
        PSF of any of the GADF models.
    containment : float
        The share.

    Returns
    -------
    numpy.ndarray
        Radius in deg, shape (energy, offset); NaN where there are no events.
    """
    if component.model == "PSF_TABLE":
        edges = component.edges["RAD"]
        content = component.data * np.diff(np.sin(np.radians(edges) / 2) ** 2)
        return _quantile(content, edges, containment)
    import astropy.units as u

    width = component.values.get("SIGMA_1", component.values.get("SIGMA"))
    radius = component.to_gammapy().containment_radius(
        fraction=containment,
        energy_true=u.Quantity(component.centers("ENERG")[:, None], "TeV"),
        offset=u.Quantity(component.centers("THETA")[None, :], "deg"),
    )
    return np.where(width > 0, radius.to_value("deg"), np.nan)


def background_rate(component, inner, outer):
    """Mean background rate in an offset ring.

    Parameters
    ----------
    component : ctabatch.irf.component.Component
        Background, radial or in two dimensions.
    inner, outer : float
        Radii of the ring in deg; bins count by their centre.

    Returns
    -------
    numpy.ndarray
        Rate in 1 / (TeV s deg2), shape (energy,); NaN where no bin lies in the ring.
    """
    if component.model == "BKG_2D":
        offset = component.centers("THETA")
        weight = np.diff(np.sin(np.radians(component.edges["THETA"]) / 2) ** 2)
        rate = component.data
    else:
        x, y = component.centers("DETX"), component.centers("DETY")
        offset = np.hypot(x[:, None], y[None, :]).ravel()
        weight = np.outer(
            np.diff(component.edges["DETX"]), np.diff(component.edges["DETY"])
        ).ravel()
        rate = component.data.reshape(len(component.data), -1)
    inside = (offset >= inner) & (offset < outer)
    if not inside.any():
        return np.full(len(rate), np.nan)
    per_mev_sr = rate[:, inside] @ weight[inside] / weight[inside].sum()
    return per_mev_sr * 1e6 * np.radians(1) ** 2


def sensitivity(irf, offset=0.5, hours=50.0, bins_per_decade=5):
    """Differential sensitivity to a point source, by Gammapy.

    5 sigma in each bin, at least 10 gammas and 5 % of the background, on-region of 68 %
    containment, five times as much off-region; as in Gammapy's tutorial for CTA.

    Parameters
    ----------
    irf : ctabatch.irf.reading.IRFFile
        With all four components.
    offset : float
        Distance of the source from the centre of the field of view in deg.
    hours : float
        Observation time.
    bins_per_decade : int
        Bins of reconstructed energy.

    Returns
    -------
    energy, flux : numpy.ndarray
        Bin centres in TeV and E^2 dN/dE in erg / (cm2 s); NaN where the IRF holds nothing.
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from gammapy.data import FixedPointingInfo, Observation, observatory_locations
    from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
    from gammapy.estimators import SensitivityEstimator
    from gammapy.makers import SpectrumDatasetMaker
    from gammapy.maps import MapAxis, RegionGeom
    from regions import CircleSkyRegion

    edges = irf.components["aeff"].edges["ENERG"] * u.TeV
    energy = MapAxis.from_energy_bounds(
        edges[0], edges[-1], nbin=bins_per_decade, per_decade=True, name="energy"
    )
    true = MapAxis.from_energy_bounds(
        edges[0], edges[-1], nbin=10, per_decade=True, name="energy_true"
    )
    pointing = SkyCoord(0, 0, unit="deg", frame="icrs")
    source = pointing.directional_offset_by(0 * u.deg, offset * u.deg)
    radii = _containment_radii(irf, energy.center.to_value("TeV"), offset)
    geom = RegionGeom.create(CircleSkyRegion(source, 0.1 * u.deg), axes=[energy])
    observation = Observation.create(
        pointing=FixedPointingInfo(fixed_icrs=pointing),
        irfs=dict(irf.gammapy),
        livetime=hours * u.h,
        location=observatory_locations["ctao_north"],
    )
    maker = SpectrumDatasetMaker(selection=["exposure", "edisp", "background"])
    with np.errstate(all="ignore"):
        dataset = maker.run(SpectrumDataset.create(geom=geom, energy_axis_true=true), observation)
        # the on-region grows with the angular resolution, which the maker can't do by itself
        dataset.exposure *= CONTAINMENT
        solid_angle = (1 - np.cos(np.radians(radii))) / (1 - np.cos(np.radians(0.1)))
        dataset.background.data *= solid_angle[:, None, None]
        on_off = SpectrumDatasetOnOff.from_spectrum_dataset(
            dataset=dataset, acceptance=1, acceptance_off=5
        )
        table = SensitivityEstimator(gamma_min=10, n_sigma=5, bkg_syst_fraction=0.05).run(on_off)
    flux = np.asarray(table["e2dnde"].quantity.to_value("erg cm-2 s-1"), dtype=float)
    flux[~np.isfinite(radii) | ~np.isfinite(flux)] = np.nan
    return energy.center.to_value("TeV"), flux


def _containment_radii(irf, energy, offset):
    """Interpolate the angular resolution (deg) at one offset; NaN outside the filled bins."""
    psf = irf.components["psf"]
    column = int(np.clip(np.searchsorted(psf.edges["THETA"], offset, "right") - 1, 0, None))
    radius = angular_resolution(psf)[:, min(column, len(psf.edges["THETA"]) - 2)]
    known = np.isfinite(radius)
    if not known.any():
        return np.full(len(energy), np.nan)
    return np.interp(
        np.log(energy), np.log(psf.centers("ENERG"))[known], radius[known], np.nan, np.nan
    )


def _quantile(content, edges, level):
    """Quantile of histograms along the last axis, linear within bins; NaN where they are empty."""
    total = content.sum(axis=-1)
    cumulative = np.concatenate(
        [np.zeros((*content.shape[:-1], 1)), np.cumsum(content, axis=-1)], axis=-1
    )
    wanted = level * total
    upper = np.clip((cumulative < wanted[..., None]).sum(axis=-1), 1, len(edges) - 1)
    before = np.take_along_axis(cumulative, upper[..., None] - 1, -1)[..., 0]
    after = np.take_along_axis(cumulative, upper[..., None], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (wanted - before) / (after - before)
    result = edges[upper - 1] + part * (edges[upper] - edges[upper - 1])
    return np.where(total > 0, result, np.nan)
