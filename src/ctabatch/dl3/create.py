"""Make the DL3 file of an observation."""

import gzip
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from ctabatch.dl3.observation import TIME_TOLERANCE, Observation
from ctabatch.dl3.product import dl3_metadata, facility_of
from ctabatch.dl3.reading import CHUNK, Events, read_events
from ctabatch.dl3.response import Response, read_response
from ctabatch.dl3.selection import read_selection
from ctabatch.dl3.tables import events_hdu, gti_hdu, horizontal, pointing_hdu
from ctabatch.dl3.times import to_seconds
from ctabatch.errors import BatchError
from ctabatch.files import replacing
from ctabatch.lake.metadata import ProductMetadata, write_sidecar

#: Largest difference between the pointing that metadata state and the one that follows of position
#: and time, deg.
POINTING_TOLERANCE = 1.0
#: Largest relative difference between the stated dead time and that of the trigger record.
DEAD_TIME_TOLERANCE = 1e-3
#: Good compression for its time; the highest level takes four times as long for 1 % less.
GZIP_LEVEL = 5


def create_dl3(
    events_paths: Sequence[Path],
    *,
    cuts: Path,
    irf: Path,
    select: Path,
    observation: Path | Observation,
    output: Path,
    config=None,
    lineage: Mapping[str, Any] | None = None,
    chunk_size: int = CHUNK,
    progress: Callable | None = None,
) -> ProductMetadata:
    """Write the DL3 file of an observation, and its sidecar.

    Parameters
    ----------
    events_paths : sequence of pathlib.Path
        DL2 files of the observation, with the models of the IRF applied.
    cuts, select : pathlib.Path
        ``cuts.fits`` and configuration of the IRF production.
    irf : pathlib.Path
        The IRF product.
    observation : pathlib.Path or Observation
        JSON with the flat metadata of the observation or of each of its DL0 files.
    output : pathlib.Path
        The file to write; compressed if its name ends in ``.gz``.
    config : ctabatch.config.model.Configuration, optional
        Gives the contact.
    lineage : mapping, optional
        Flat keys for the sidecar, such as ``dl3__irf``.
    chunk_size : int
        Most events in memory at once, before selection.
    progress : callable, optional
        See `ctabatch.dl3.reading.read_events`.

    Returns
    -------
    ctabatch.lake.metadata.ProductMetadata

    Raises
    ------
    ctabatch.errors.InputError
        A file is unreadable or does not belong to the observation.
    ctabatch.errors.BatchError
        Events and metadata of the observation contradict each other.
    """
    if not isinstance(observation, Observation):
        observation = Observation.read(observation)
    selection = read_selection(cuts, select)
    response = read_response(irf)
    events = read_events(
        events_paths, selection, observation.obs_id, chunk_size=chunk_size, progress=progress
    )
    events = within_field(events, observation, response.field)
    _check(events, observation)
    livetime = live_time(events, observation)
    facility = facility_of(observation)
    metadata = dl3_metadata(
        observation,
        events,
        livetime,
        response,
        models=(cuts, select),
        config=config,
        lineage=lineage,
    )
    hdus = fits.HDUList(
        [
            primary_hdu(metadata, response),
            events_hdu(events, observation, livetime, facility),
            gti_hdu(observation, events.location),
            pointing_hdu(observation, events.location),
            *(hdu.copy() for hdu in response.hdus),
        ]
    )
    write_fits(hdus, output)
    write_sidecar(output, metadata)
    return metadata


def within_field(events: Events, observation: Observation, field: float) -> Events:
    """Leave out events farther from the pointing than the IRF reaches: there is no response for them.

    Among them are showers whose reconstruction failed by tens of degrees. ``ctapipe-compute-irf`` does
    not count them in any bin either.

    Parameters
    ----------
    events : ctabatch.dl3.reading.Events
        Selected events.
    observation : Observation
        Gives the pointing.
    field : float
        Largest distance, deg.
    """
    columns = events.columns
    away = separation(columns["dec"], columns["ra"], observation.dec, observation.ra)
    kept = {name: values[away <= field] for name, values in columns.items()}
    return replace(events, columns=kept)


def live_time(events: Events, observation: Observation) -> float:
    """Return the live time of an observation in s.

    The array is dead for a fixed time after each event that it stores, so that the live time is
    the ontime without the number of stored events times that (DL0 states it as ``obs__dead_time_s``).
    Where DL0 does not state it, its ``obs__livetime_s`` counts.

    Raises
    ------
    ctabatch.errors.BatchError
        The live time that DL0 states is another one.
    """
    stated = observation.livetime
    if observation.dead_time is None:
        return stated
    counted = observation.ontime - events.triggers * observation.dead_time
    if abs(counted - stated) > DEAD_TIME_TOLERANCE * observation.ontime:
        raise BatchError(
            f"observation {observation.obs_id}: {events.triggers} events with "
            f"{observation.dead_time:g} s of dead time each leave {counted:.6g} s live, but DL0 "
            f"states {stated:.6g} s",
            "check that all DL0 files of the observation were processed",
        )
    return counted


def primary_hdu(metadata: ProductMetadata, response: Response) -> fits.PrimaryHDU:
    """Make the primary HDU, which holds CTAO's reference metadata and the origin of the IRF."""
    from ctao_datamodel import instance_to_fits_header

    hdu = fits.PrimaryHDU()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Card is too long")  # comments are cut
        hdu.header.extend(instance_to_fits_header(metadata.product), update=True)
    hdu.header["ORIGIN"] = "ctabatch"
    for key, (value, comment) in response.cards.items():
        hdu.header[key] = (value, comment)
    if metadata.product.disclaimer:
        hdu.header["COMMENT"] = metadata.product.disclaimer
    return hdu


def write_fits(hdus: fits.HDUList, output: Path) -> None:
    """Write FITS with checksums, as a whole or not at all; the same content gives the same bytes."""
    with replacing(output) as temporary:
        if not Path(output).name.endswith(".gz"):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Card is too long")
                hdus.writeto(temporary, overwrite=True, checksum=True)
            return
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Card is too long")
            hdus.writeto(buffer, checksum=True)
        with temporary.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, 0) as stream:
            stream.write(buffer.getbuffer())


def _check(events: Events, observation: Observation) -> None:
    """Refuse what contradicts the metadata of the observation."""
    name = f"observation {observation.obs_id}"
    if observation.triggers is not None and events.triggers != observation.triggers:
        raise BatchError(
            f"{name}: DL2 holds {events.triggers} events, DL0 states {observation.triggers} triggers",
            "give the DL2 files of all its chunks; a truncated DL0 file has to be copied again",
        )
    if len(events) == 0:
        raise BatchError(
            f"{name}: none of {events.triggers} events passes the selection",
            "check that cuts and models belong to this array and to these data",
        )
    times = events.columns["time"]
    start, stop = to_seconds([observation.start, observation.end])
    outside = int(np.sum((times < start - TIME_TOLERANCE) | (times > stop + TIME_TOLERANCE)))
    if outside:
        raise BatchError(
            f"{name}: {outside} selected events lie outside {observation.start:%FT%T} to "
            f"{observation.end:%FT%T}",
            "the metadata are of another observation",
        )
    middle = np.array([(start + stop) / 2])
    altitude, azimuth = horizontal(observation.ra, observation.dec, middle, events.location)
    off = separation(90 - observation.zenith, observation.azimuth, altitude[0], azimuth[0])
    if off > POINTING_TOLERANCE:
        raise BatchError(
            f"{name}: zenith {observation.zenith:.2f} deg and azimuth {observation.azimuth:.2f} deg "
            f"are {off:.2f} deg from the pointing in the middle of the observation, zenith "
            f"{90 - altitude[0]:.2f} deg and azimuth {azimuth[0]:.2f} deg",
            "position, time and direction in the metadata contradict each other",
        )


def separation(alt1, az1, alt2, az2):
    """Angle between directions given by latitude (altitude) and longitude (azimuth), all in deg."""
    from astropy.coordinates import angular_separation

    return np.degrees(angular_separation(*map(np.radians, (az1, alt1, az2, alt2))))
