"""DL0 files of simulated observations: ctapipe HDF5 with waveforms (R1), read by ``ctapipe-process``.

Nothing in the file tells a gamma ray from a proton: it looks like that of a telescope array. What is
true stands in the sidecar, under ``sim__*``, in numbers for the whole file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from ctao_datamodel.models.dataproducts.utils import dpps_filename
from ctapipe.containers import (
    ArrayEventContainer,
    CoordinateFrameType,
    EventIndexContainer,
    EventType,
    ObservationBlockContainer,
    ObservationBlockState,
    ObservingMode,
    PointingMode,
    SchedulingBlockContainer,
    SchedulingBlockType,
    TelescopeTriggerContainer,
    TriggerContainer,
)
from ctapipe.core import Provenance
from ctapipe.io import DataWriter, write_table
from ctapipe.io.hdf5dataformat import DL0_TEL_POINTING_GROUP

from ctabatch.dl3.observation import time_text
from ctabatch.errors import BatchError
from ctabatch.files import replacing
from ctabatch.lake.metadata import (
    ProductMetadata,
    build_product_metadata,
    read_sidecar,
    sidecar_of,
    write_sidecar,
)
from ctabatch.simulation import DISCLAIMER, PRODUCER_ID
from ctabatch.simulation.instrument import make_subarray
from ctabatch.simulation.observation import IDS_A_CHUNK, Chunk, ChunkSimulation, Plan
from ctabatch.simulation.spectra import describe_flux
from ctabatch.simulation.waveforms import WaveformMaker

#: The table of a telescope's pointing goes on for this long before and after the data, s.
POINTING_MARGIN = 2.0
#: Waveforms are stored as integers of 0.1 p.e. a ns: this adds less than 0.1 p.e. of noise to a charge.
WAVEFORMS = {
    "transform_waveform": True,
    "waveform_dtype": "uint16",
    "waveform_scale": 10.0,
    "waveform_offset": 200,
    "compression_level": 1,  # higher levels cost more time than the simulation, for 5 %
}
_MODEL = {
    "name": "ctapipe",
    "version": "v7",
    "url": "https://ctapipe.readthedocs.io/en/latest/user-guide/data_models/dl1.html",
}


@dataclass(frozen=True)
class _Header:
    """What ctapipe's writer asks of an event source."""

    subarray: object
    observation_blocks: dict
    scheduling_blocks: dict
    is_simulation: bool = False

    @property
    def obs_ids(self):
        """Ids of the observations."""
        return list(self.observation_blocks)


def observe(
    plan: Plan, folder: Path, progress: Callable | None = None, *, only: int | None = None
) -> list[Path]:
    """Simulate observations and write their DL0 files with sidecars.

    Files that are there already, made with the same settings, are left as they are.

    Parameters
    ----------
    plan : Plan
        What is observed.
    folder : pathlib.Path
        Where the files go.
    progress : callable, optional
        Called with files done, files in all, and the name of the file.
    only : int, optional
        Write the files of this observation only.

    Returns
    -------
    list of pathlib.Path
        The files, in time.
    """
    chunks = [chunk for chunk in plan.chunks() if only in (None, chunk.obs_id)]
    paths = []
    for done, chunk in enumerate(chunks):
        path = Path(folder) / file_name(plan, chunk)
        if not _is_made(path, plan):
            write_chunk(plan, chunk, path)
        paths.append(path)
        if progress is not None:
            progress(done + 1, len(chunks), path.name)
    return paths


def _is_made(path, plan):
    if not path.is_file() or not sidecar_of(path).is_file():
        return False
    try:
        return read_sidecar(path).extra.get("sim__digest") == plan.digest
    except BatchError:
        return False  # of another file: it is made again


def write_chunk(plan: Plan, chunk: Chunk, path: Path) -> ProductMetadata:
    """Simulate one chunk, write its file and sidecar."""
    simulation = ChunkSimulation(plan, chunk)
    subarray = make_subarray(plan.layout, plan.layout.site.name)
    header = _Header(
        subarray,
        {chunk.obs_id: _observation_block(simulation)},
        {chunk.obs_id: _scheduling_block(chunk)},
    )
    makers = {tel_id: WaveformMaker(subarray.tel[tel_id].camera) for tel_id in subarray.tel_ids}
    start = Time(chunk.start.replace(tzinfo=None), scale="utc").tai
    provenance = Provenance()
    provenance.start_activity("cta-batch observe")
    try:
        with replacing(path) as temporary:
            temporary.unlink()  # the writer wants to make it
            writer = DataWriter(
                event_source=header,
                output_path=temporary,
                write_r1_waveforms=True,
                write_dl1_images=False,
                write_dl1_parameters=False,
                write_dl2=False,
                context_metadata={"PRODUCER": PRODUCER_ID, "DISCLAIMER": DISCLAIMER},
                **WAVEFORMS,
            )
            with writer:
                for count, (time, _, event) in enumerate(simulation.run()):
                    writer(_container(chunk, makers, start + time * u.s, event, count))
            _write_pointing(temporary, plan, chunk, subarray.tel_ids)
    finally:
        provenance.finish_activity("cta-batch observe")
    metadata = dl0_metadata(plan, simulation)
    write_sidecar(path, metadata)
    return metadata


def _container(chunk, makers, time, event, count) -> ArrayEventContainer:
    tel_ids = sorted(event.cameras)
    container = ArrayEventContainer(
        count=count,
        index=EventIndexContainer(
            obs_id=chunk.obs_id, event_id=(chunk.number - 1) * IDS_A_CHUNK + count + 1
        ),
        simulation=None,
        trigger=TriggerContainer(
            time=time,
            tels_with_trigger=np.array(tel_ids, dtype=np.int16),
            event_type=EventType.SUBARRAY,
        ),
    )
    for tel_id in tel_ids:
        camera = event.cameras[tel_id]
        container.trigger.tel[tel_id] = TelescopeTriggerContainer(
            time=time, event_type=EventType.SUBARRAY
        )
        container.r1.tel[tel_id] = makers[tel_id].make(camera.image, camera.peak_time, time)
    return container


def _observation_block(simulation):
    """The observation; ctapipe reconstructs showers in the horizontal frame of its pointing.

    The telescopes follow the sky, each event gets its own pointing from their tables. This one is the
    mean of the chunk and only the frame in which planes are intersected.
    """
    chunk = simulation.chunk
    altitude, azimuth = simulation.pointing.mean()
    return ObservationBlockContainer(
        obs_id=np.uint64(chunk.obs_id),
        sb_id=np.uint64(chunk.obs_id),
        producer_id=PRODUCER_ID,
        state=ObservationBlockState.COMPLETED_SUCCEDED,
        subarray_pointing_lat=np.rad2deg(altitude) * u.deg,
        subarray_pointing_lon=np.rad2deg(azimuth) * u.deg,
        subarray_pointing_frame=CoordinateFrameType.ALTAZ,
        actual_start_time=Time(chunk.start.replace(tzinfo=None), scale="utc").tai,
        actual_duration=chunk.seconds * u.s.to(u.min) * u.min,
    )


def _scheduling_block(chunk):
    return SchedulingBlockContainer(
        sb_id=np.uint64(chunk.obs_id),
        sb_type=SchedulingBlockType.OBSERVATION,
        producer_id=PRODUCER_ID,
        observing_mode=ObservingMode.WOBBLE,
        pointing_mode=PointingMode.TRACK,
    )


def _write_pointing(path, plan, chunk, tel_ids):
    from ctabatch.sky import Track

    first = chunk.start.replace(tzinfo=None) - timedelta(seconds=POINTING_MARGIN)
    start = Time(first, scale="utc").tai
    track = Track(chunk.ra, chunk.dec, plan.location, start, chunk.seconds + 2 * POINTING_MARGIN)
    altitude, azimuth = track.at(track.seconds)
    table = QTable(
        {
            "time": start + track.seconds * u.s,
            "azimuth": azimuth * u.rad,
            "altitude": altitude * u.rad,
        }
    )
    for tel_id in tel_ids:
        write_table(table, path, f"{DL0_TEL_POINTING_GROUP}/tel_{tel_id:03d}")


def _instance(plan, chunk):
    return {
        "site_id": plan.settings.site,
        "obs_id": chunk.obs_id,
        "subarray_id": 1,
        "chunk_id": chunk.number,
        "facility_name": "Simulated-CTAO",
        # the night is called after the day on which it begins
        "observing_night": (chunk.start - timedelta(hours=12)).date().isoformat(),
    }


_DATA = {"level": "DL0", "division": "Event", "association": "Subarray", "type": "AirShower"}


def file_name(plan: Plan, chunk: Chunk) -> str:
    """Name of the DL0 file of a chunk, by ctao-datamodel."""
    product = _product(plan, chunk, {}).product
    return dpps_filename(product, suffix=".h5")


def dl0_metadata(plan: Plan, simulation: ChunkSimulation) -> ProductMetadata:
    """Build the metadata of a chunk that was simulated."""
    chunk, settings, counts = simulation.chunk, plan.settings, simulation.counts
    altitude, azimuth = np.rad2deg(simulation.pointing.mean())
    triggers = sum(counts.stored.values())
    dead_time = settings.dead_time.to_value("s")
    release = settings.release_date or chunk.start.date() + timedelta(days=365)
    spectrum = settings.spectrum
    truth = {
        "sim__producer": PRODUCER_ID,
        "sim__disclaimer": DISCLAIMER,
        "sim__digest": plan.digest,
        "sim__seed": settings.seed,
        "sim__spectrum": describe_flux(spectrum),
        "sim__spectrum_scale": spectrum.scale,
        "sim__amplitude": (spectrum.amplitude * spectrum.scale).to_value("cm-2 s-1 TeV-1"),
        "sim__reference_tev": spectrum.reference.to_value("TeV"),
        "sim__index": spectrum.index,
        "sim__curvature": spectrum.curvature,
        "sim__lost_in_dead_time": counts.lost,
    }
    for particle in counts.arrived:
        thrown = getattr(settings.particles, particle)
        truth |= {
            f"sim__{particle}_arrived": counts.arrived[particle],
            f"sim__{particle}_triggers": counts.stored[particle],
            f"sim__{particle}_energy_min_tev": thrown.energy_min.to_value("TeV"),
            f"sim__{particle}_radius_m": thrown.scatter_radius.to_value("m"),
        }
        if particle != "gamma":
            truth[f"sim__{particle}_cone_deg"] = thrown.view_cone.to_value("deg")
    observed = {
        "obs__object": settings.target.name,
        "obs__target_ra_deg": settings.target.ra.to_value("deg"),
        "obs__target_dec_deg": settings.target.dec.to_value("deg"),
        "obs__ra_deg": chunk.ra,
        "obs__dec_deg": chunk.dec,
        "obs__start": time_text(chunk.start),
        "obs__end": time_text(chunk.end),
        "obs__zenith_deg": round(90 - float(altitude), 6),
        "obs__azimuth_deg": round(float(azimuth), 6),
        "obs__nsb": settings.nsb,
        "obs__ontime_s": chunk.seconds,
        "obs__livetime_s": chunk.seconds - triggers * dead_time,
        "obs__dead_time_s": dead_time,
        "obs__subarray": settings.subarray,
        "obs__chunk": chunk.number,
        "obs__chunks": chunk.of,
        "obs__triggers": triggers,
        "proposal_id": settings.proposal_id,
        "release_date": release.isoformat(),
        "dl0__producer": PRODUCER_ID,
    }
    return _product(plan, chunk, observed | truth)


def _product(plan, chunk, extra):
    settings = plan.settings
    return build_product_metadata(
        description=f"DL0 of observation {chunk.obs_id}, {settings.target.name}, file {chunk.number} "
        f"of {chunk.of}",
        data=_DATA,
        instance=_instance(plan, chunk),
        curation={"release": settings.release},
        model=_MODEL,
        contact=plan.config.contact.model_dump(),
        activity={
            "process": "simulation",
            "name": "observe",
            "start": Time.now(),
            "configuration_id": plan.digest,
        },
        disclaimer=DISCLAIMER,
        extra=extra,
    )
