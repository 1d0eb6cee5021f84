"""Simulated DL3 observations for tests and benchmarks, made by Gammapy from the published Prod5 IRF."""

from pathlib import Path

import astropy.units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time

from ctabatch.lake.base import NewFile

TARGET = SkyCoord(83.633, 22.014, unit="deg")
START = Time("2026-01-10T22:00:00", scale="utc")

#: Spectrum of the simulated source: index 2.3, and 5e-11 TeV-1 s-1 cm-2 at 1 TeV.
INDEX, AMPLITUDE = 2.3, "5e-11 cm-2 s-1 TeV-1"


def simulate(folder, irf_file, count, *, livetime="300 s", first=1, seed=7):
    """Simulate observations above 1 TeV, 0.5 deg from the target in turn north and south of it.

    Returns
    -------
    list of pathlib.Path
        One file an observation, IRFs inside.
    """
    from gammapy.data import FixedPointingInfo, Observation
    from gammapy.data.simulate import ObservationsEventsSampler
    from gammapy.irf import load_irf_dict_from_file
    from gammapy.maps import MapAxis
    from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel

    irfs = load_irf_dict_from_file(irf_file)
    model = SkyModel(
        spectral_model=PowerLawSpectralModel(index=INDEX, amplitude=AMPLITUDE),
        spatial_model=PointSpatialModel(lon_0=TARGET.ra, lat_0=TARGET.dec, frame="icrs"),
        name="crab",
    )
    paths = []
    for number in range(count):
        pointing = TARGET.directional_offset_by((180 * (number % 2)) * u.deg, 0.5 * u.deg)
        observation = Observation.create(
            pointing=FixedPointingInfo(fixed_icrs=pointing.icrs),
            tstart=START + number * 400 * u.s,
            livetime=u.Quantity(livetime),
            irfs=irfs,
            obs_id=first + number,
        )
        sampler = ObservationsEventsSampler(
            sampler_kwargs={"random_state": seed + number},
            dataset_kwargs={
                "spatial_width": 5 * u.deg,
                "spatial_bin_size": 0.05 * u.deg,
                "energy_axis": MapAxis.from_energy_bounds("1 TeV", "30 TeV", 10),
                "energy_axis_true": MapAxis.from_energy_bounds(
                    "0.7 TeV", "50 TeV", 20, name="energy_true"
                ),
            },
            outdir=None,
            n_jobs=1,
        )
        made = sampler.run([observation], [model.copy(name="crab")])[0]
        paths.append(Path(folder) / f"obs_{first + number}.fits")
        made.write(paths[-1], include_irfs=False)
        # as they are: Gammapy 2.1 writes a PSF of three Gaussians without its class
        with fits.open(paths[-1], mode="append") as hdus, fits.open(irf_file) as response:
            for hdu in response[1:]:
                hdus.append(hdu.copy())
    return paths


def metadata(path, **changes):
    """Metadata of an observation as they are agreed for DL3."""
    from gammapy.data import Observation

    observation = Observation.read(path)
    pointing = observation.get_pointing_icrs(observation.tmid)
    found = {
        "data__level": "DL3",
        "data__type": "Observation",
        "instance__obs_id": int(observation.obs_id),
        "instance__site_id": "CTAO-North",
        "obs__object": "crab",
        "obs__ra_deg": float(pointing.ra.deg),
        "obs__dec_deg": float(pointing.dec.deg),
        "obs__start": observation.tstart.utc.strftime("%Y-%m-%dT%H:%M:%S"),
        "obs__end": observation.tstop.utc.strftime("%Y-%m-%dT%H:%M:%S"),
        "obs__zenith_deg": 20.0,
        "obs__azimuth_deg": 180.0,
        "obs__nsb": "dark",
        "obs__livetime_s": float(observation.observation_live_time_duration.to_value("s")),
        "obs__subarray": "alpha-north",
        "proposal_id": "P1",
        "release_date": "2026-06-01",
        "dl3__status": "valid",
        "dl3__irf_digest": "0" * 64,
        "dl3__events": len(observation.events.table),
    }
    return {key: value for key, value in (found | changes).items() if value is not None}


def new_file(path, **changes):
    """Describe a simulated observation for ingest."""
    return NewFile(
        Path(path), f"test:/ctao.dpps.test/test/sim/{Path(path).name}", metadata(path, **changes)
    )


def clone(path, target, obs_id, later, *, source=True):
    """Copy an observation under another id, later by `later` seconds; without `source`, its
    background events only.

    Returns
    -------
    pathlib.Path
    """
    with fits.open(path) as hdus:
        events, gti = hdus["EVENTS"], hdus["GTI"]
        events.header["OBS_ID"] = obs_id
        for key in ("TSTART", "TSTOP"):
            if key in events.header:
                events.header[key] += later
        events.data["TIME"] += later
        if not source:
            events.data = events.data[events.data["MC_ID"] == 0]
        for key in ("START", "STOP"):
            gti.data[key] += later
        hdus.writeto(target, overwrite=True)
    return Path(target)
