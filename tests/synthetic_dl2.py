"""DL2 files with the tables of ctapipe's chain, drawn for an observation of a point source."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from astropy.table import QTable
from astropy.time import Time
from ctapipe.core import Provenance
from ctapipe.io import metadata as meta
from ctapipe.io import write_table
from ctapipe.io.hdf5dataformat import DL1_SUBARRAY_TRIGGER_TABLE, DL2_SUBARRAY_GROUP
from ctapipe.irf import OptimizationResult

from ctabatch.simulation.instrument import make_subarray
from ctabatch.simulation.subarrays import load_subarray
from ctabatch.sky import earth_orientation

#: The criteria of config/pipeline/irf.yaml.
CRITERIA = [
    ("valid classifier", "RandomForestClassifier_is_valid"),
    ("valid geometry", "HillasReconstructor_is_valid"),
    ("valid energy", "RandomForestRegressor_is_valid"),
    ("multiplicity", "np.count_nonzero(HillasReconstructor_telescopes, axis=1) >= 3"),
]
OBS_ID = 1001
START = "2026-01-15T22:00:00"
TARGET = SkyCoord(67.6, 8.8, unit="deg")
POINTING = SkyCoord(67.6, 9.3, unit="deg")
#: Dead time after a stored event, s.
DEAD_TIME = 1e-4


def location():
    """Reference point of CTAO-North."""
    return make_subarray(load_subarray("CTAO-North")).reference_location


def mean_direction(start=START, seconds=60.0):
    """Zenith angle and azimuth of the pointing in the middle of a span, deg."""
    with earth_orientation():
        time = Time(start, scale="utc") + seconds / 2 * u.s
        found = POINTING.transform_to(AltAz(obstime=time, location=location()))
    return 90 - found.alt.deg, found.az.deg


def observation_metadata(triggers, start=START, seconds=60, **changes):
    """Flat metadata of a DL0 file."""
    end = Time(start, scale="utc") + seconds * u.s
    zenith, azimuth = mean_direction(start, seconds)
    content = {
        "data__level": "DL0",
        "instance__obs_id": OBS_ID,
        "instance__site_id": "CTAO-North",
        "instance__subarray_id": 1,
        "instance__facility_name": "Simulated-CTAO",
        "instance__id": "00000000-0000-4000-8000-000000000001",
        "obs__object": "Test source",
        "obs__ra_deg": float(POINTING.ra.deg),
        "obs__dec_deg": float(POINTING.dec.deg),
        "obs__target_ra_deg": float(TARGET.ra.deg),
        "obs__target_dec_deg": float(TARGET.dec.deg),
        "obs__start": start,
        "obs__end": end.isot[:19],
        "obs__zenith_deg": float(zenith),
        "obs__azimuth_deg": float(azimuth),
        "obs__nsb": "dark",
        "obs__ontime_s": float(seconds),
        "obs__livetime_s": seconds - triggers * DEAD_TIME,
        "obs__dead_time_s": DEAD_TIME,
        "obs__subarray": "CTAO-North",
        "obs__triggers": triggers,
        "proposal_id": "P42",
        "release_date": "2027-01-15",
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


class _Writer:
    """What `write_reference_metadata_headers` wants of a writer."""

    def __init__(self, h5file):
        self.h5file = h5file


@dataclass
class SyntheticDL2:
    """Events of an observation; change the columns, then `write`."""

    trigger: QTable
    geometry: QTable
    energy: QTable
    particle: QTable

    def write(self, path):
        """Write the file; returns its path."""
        import tables
        from ctapipe.io.datalevels import DataLevel
        from ctapipe.io.datawriter import write_reference_metadata_headers

        subarray = make_subarray(load_subarray("CTAO-North"))
        path.unlink(missing_ok=True)
        subarray.to_hdf(path)
        Provenance().start_activity("synthetic")
        with tables.open_file(path, "a") as h5file:
            write_table(self.trigger, h5file, DL1_SUBARRAY_TRIGGER_TABLE)
            for kind, algorithm, table in (
                ("geometry", "HillasReconstructor", self.geometry),
                ("energy", "RandomForestRegressor", self.energy),
                ("particle_type", "RandomForestClassifier", self.particle),
            ):
                write_table(table, h5file, f"{DL2_SUBARRAY_GROUP}/{kind}/{algorithm}")
            write_reference_metadata_headers(
                obs_ids=[OBS_ID],
                subarray=subarray,
                writer=_Writer(h5file),
                is_simulation=False,
                data_levels=[DataLevel.DL2],
                contact_info=meta.Contact(),
                instrument_info=meta.Instrument(),
            )
        Provenance().finish_activity()
        return path


def make_dl2(number=2000, start=START, seconds=60.0, first_id=1, seed=3):
    """Draw events: a third gamma rays of the target, the others spread over the field.

    Gamma rays have high scores. Some events are invalid, as after a real reconstruction.
    """
    random = np.random.default_rng(seed)
    ids = {
        "obs_id": np.full(number, OBS_ID, np.uint64),
        "event_id": np.arange(first_id, first_id + number, dtype=np.uint64),
    }
    time = Time(start, scale="utc") + np.sort(random.uniform(0, seconds, number)) * u.s
    time = time.tai
    gamma = np.arange(number) % 3 == 0
    spread = np.where(gamma, 0.05, 1.5)
    east, north = spread * random.standard_normal((2, number))
    sky = TARGET.spherical_offsets_by(east * u.deg, north * u.deg)
    with earth_orientation():
        seen = sky.transform_to(AltAz(obstime=time, location=location()))
    telescopes = random.random((number, 13)) < 0.4
    telescopes[:, :3] = True
    valid = random.random(number) > 0.1
    nan = np.where(valid, 1.0, np.nan)

    def table(prefix, **columns):
        base = {f"{prefix}_{name}": values for name, values in columns.items()}
        mask = {f"{prefix}_is_valid": valid, f"{prefix}_telescopes": telescopes}
        return QTable({**ids, **base, **mask})

    return SyntheticDL2(
        trigger=QTable({**ids, "time": time, "tels_with_trigger": telescopes}),
        geometry=table("HillasReconstructor", alt=seen.alt * nan, az=seen.az * nan),
        energy=table(
            "RandomForestRegressor",
            energy=0.05 * random.pareto(1.6, number) * nan * u.TeV + 0.05 * u.TeV,
        ),
        particle=table(
            "RandomForestClassifier",
            prediction=np.clip(
                np.where(gamma, 0.8, 0.3) + 0.1 * random.standard_normal(number), 0, 1
            )
            * nan,
        ),
    )


def write_cuts(path, score=0.6, criteria=CRITERIA, classifier="RandomForestClassifier", least=None):
    """Write cuts of one score for all energies from 0.02 to 100 TeV; returns the path."""
    edges = np.geomspace(0.02, 100, 11) * u.TeV
    columns = {"low": edges[:-1], "high": edges[1:], "center": np.sqrt(edges[:-1] * edges[1:])}
    multiplicity = None
    if least is not None:
        multiplicity = QTable({**columns, "cut": np.full(10, least)})
    OptimizationResult(
        valid_energy_min=edges[0],
        valid_energy_max=edges[-1],
        valid_offset_min=0 * u.deg,
        valid_offset_max=4 * u.deg,
        gh_cuts=QTable({**columns, "cut": np.full(10, float(score))}),
        clf_prefix=classifier,
        quality_query=criteria,
        multiplicity_cuts=multiplicity,
    ).write(path, overwrite=True)
    return path
