"""Make DL3 products of observations that come with index files (GADF ``obs-index``, ``hdu-index``).

Events and IRFs of an observation may lie in several files there; here each observation becomes one
file with all its HDUs, unchanged, and a sidecar with the metadata by which it is found in the lake.
"""

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

from ctabatch.config.model import Configuration
from ctabatch.errors import InputError
from ctabatch.files import replacing
from ctabatch.lake.metadata import build_product_metadata, write_sidecar

_MODEL = {
    "name": "GADF",
    "version": "v0.2",
    "url": "https://gamma-astro-data-formats.readthedocs.io/en/v0.2/",
}

#: HDU types of an observation, in the order in which they are written.
_TYPES = ("events", "gti", "pointing", "aeff", "edisp", "psf", "bkg", "rad_max")


def import_observations(
    config: Configuration,
    index: Path,
    folder: Path,
    *,
    site: str,
    subarray: str,
    project: str | None = None,
    caldb: Path | None = None,
    release: str = "imported",
    disclaimer: str | None = None,
) -> list[Path]:
    """Write a DL3 file and its sidecar for each observation of an index.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        Gives the contact.
    index : pathlib.Path
        Folder with ``obs-index.fits.gz`` and ``hdu-index.fits.gz``.
    folder : pathlib.Path
        Where the products go.
    site : str
        ``CTAO-North`` or ``CTAO-South``.
    subarray : str
        Name of the array layout.
    project : str, optional
        Project id.
    caldb : pathlib.Path, optional
        Root of a calibration database, for index files that use ``$CALDB``.
    release : str
        Name of the release, part of the name in the lake.
    disclaimer : str, optional
        Kept in the metadata, and shown in all reports.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    ctabatch.errors.InputError
        The index can't be read, or names a file or HDU that is not there.
    """
    from gammapy.data import DataStore

    with _calibration_database(caldb):
        try:
            store = DataStore.from_dir(index)
            rows = list(store.obs_table)
        except Exception as error:  # any library's: the index can hold anything
            reason = " ".join(str(error).split())
            raise InputError(f"can't be read as index: {reason}", str(index)) from None
        written = []
        for row in rows:
            number = int(row["OBS_ID"])
            path = Path(folder) / f"dl3_ob{number:010d}.fits.gz"
            digest, events = _write(store, number, path)
            extra = _metadata(path, digest, events, subarray, project)
            metadata = build_product_metadata(
                description=f"DL3 of observation {number}",
                data={
                    "level": "DL3",
                    "division": "Event",
                    "association": "Subarray",
                    "type": "Observation",
                },
                instance={"site_id": site, "obs_id": number},
                curation={"release": release, "license": "cc-by"},
                model=_MODEL,
                contact=config.contact.model_dump(),
                activity={
                    "process": "user",
                    "name": "dl3-import",
                    "start": extra["obs__start"],
                    "configuration_id": release,
                },
                disclaimer=disclaimer,
                extra=extra,
            )
            write_sidecar(path, metadata)
            written.append(path)
    return written


def _write(store, number: int, path: Path) -> tuple[str, int]:
    """Copy the HDUs of an observation into one file; returns the IRFs' digest, and events."""
    from astropy.io import fits

    total, events = hashlib.sha256(), 0
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for kind in _TYPES:
        location = store.hdu_table.hdu_location(number, hdu_type=kind, warn_missing=False)
        if location is None:
            continue
        try:
            with fits.open(location.path()) as source:
                hdu = source[location.hdu_name].copy()
        except (OSError, KeyError) as error:
            raise InputError(
                f"observation {number} has no {kind}: {error}", str(location.path())
            ) from None
        if kind in ("events", "gti", "pointing"):
            events = len(hdu.data) if kind == "events" else events
        else:
            total.update(kind.encode() + hdu.data.tobytes())
        hdus.append(hdu)
    with replacing(path) as temporary:
        hdus.writeto(temporary, overwrite=True, checksum=True)
    return total.hexdigest(), events


def _metadata(path: Path, digest: str, events: int, subarray: str, project: str | None) -> dict:
    """Metadata of an observation as agreed for DL3, from the file itself."""
    from gammapy.data import Observation

    observation = Observation.read(path)
    pointing = observation.get_pointing_icrs(observation.tmid)
    header = observation.events.table.meta
    altitude, azimuth = header.get("ALT_PNT"), header.get("AZ_PNT")
    return {
        "obs__object": str(header.get("OBJECT", "unknown")),
        "obs__ra_deg": round(float(pointing.ra.deg), 6),
        "obs__dec_deg": round(float(pointing.dec.deg), 6),
        "obs__start": observation.tstart.utc.strftime("%Y-%m-%dT%H:%M:%S"),
        "obs__end": observation.tstop.utc.strftime("%Y-%m-%dT%H:%M:%S"),
        "obs__zenith_deg": None if altitude is None else round(90 - float(altitude), 4),
        "obs__azimuth_deg": None if azimuth is None else round(float(azimuth), 4),
        "obs__ontime_s": round(float(observation.observation_time_duration.to_value("s")), 3),
        "obs__livetime_s": round(
            float(observation.observation_live_time_duration.to_value("s")), 3
        ),
        "obs__subarray": subarray,
        "proposal_id": project,
        "dl3__status": "valid",
        "dl3__irf_digest": digest,
        "dl3__events": events,
        "dl3__producer": str(header.get("CREATOR", "unknown")),
    }


@contextmanager
def _calibration_database(caldb: Path | None):
    """Set ``CALDB`` for as long as an index is read."""
    before = os.environ.get("CALDB")
    if caldb is not None:
        os.environ["CALDB"] = str(caldb)
    try:
        yield
    finally:
        if caldb is not None:
            os.environ.pop("CALDB")
            if before is not None:
                os.environ["CALDB"] = before
