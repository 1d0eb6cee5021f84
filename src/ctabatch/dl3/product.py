"""Metadata of DL3 products: CTAO's model, and our flat keys."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.time import Time

from ctabatch import __version__
from ctabatch.config.contact import Contact
from ctabatch.dl3.observation import Observation, time_text
from ctabatch.lake.metadata import ProductMetadata, build_product_metadata
from ctabatch.simulation import DISCLAIMER, PRODUCER_ID

#: Value of ``dl3__status`` of a product that may be used.
VALID = "valid"

#: Release of observations whose DL0 names none.
DEFAULT_RELEASE = "observations"

_MODEL = {
    "name": "GADF",
    "version": "v0.2",
    "url": "https://gamma-astro-data-formats.readthedocs.io/en/v0.2/",
}
_SIMULATED = "Simulated-CTAO"
#: Diameter of the field that DL3 products state, deg.
_FIELD = 8.0

#: Keys of the observation that a DL3 product keeps.
_KEPT = (
    "obs__object", "obs__ra_deg", "obs__dec_deg", "obs__start", "obs__end", "obs__gti",
    "obs__zenith_deg", "obs__azimuth_deg", "obs__nsb", "obs__ontime_s", "obs__subarray",
    "obs__triggers", "obs__target_ra_deg", "obs__target_dec_deg", "proposal_id", "release_date",
)  # fmt: skip


def facility_of(observation: Observation) -> str:
    """Name the observatory; simulated observations say that they are."""
    metadata = observation.metadata
    simulated = (
        metadata.get("instance__facility_name") == _SIMULATED
        or metadata.get("dl0__producer") == PRODUCER_ID
    )
    return _SIMULATED if simulated else "CTAO"


def dl3_metadata(
    observation: Observation,
    events,
    livetime: float,
    response,
    *,
    models: tuple[Path, ...],
    config=None,
    lineage: Mapping[str, Any] | None = None,
) -> ProductMetadata:
    """Build the metadata of a DL3 product.

    Parameters
    ----------
    observation : Observation
        The observation.
    events : ctabatch.dl3.reading.Events
        Selected events.
    livetime : float
        In s.
    response : ctabatch.dl3.response.Response
        The IRF.
    models : tuple of pathlib.Path
        Files that decide which events were selected; their digest is kept.
    config : ctabatch.config.model.Configuration, optional
        Gives the contact.
    lineage : mapping, optional
        Flat keys that go before those found here.
    """
    start, end = time_text(observation.start), time_text(observation.end)
    models_digest = files_digest(models)
    keep = {key: observation.metadata.get(key) for key in _KEPT}
    facility = facility_of(observation)
    disclaimer = DISCLAIMER if facility == _SIMULATED or PRODUCER_ID in response.comment else None
    instance = {
        "site_id": observation.site,
        "obs_id": observation.obs_id,
        "subarray_id": observation.metadata.get("instance__subarray_id"),
        "facility_name": facility,
        "target_id": observation.object,
        "observing_night": observation.metadata.get("instance__observing_night"),
    }
    inputs = str(observation.metadata.get("dl0__ids", observation.metadata.get("instance__id", "")))
    activity = {
        "process": "data_processing",
        "name": "dl3-create",
        "start": Time.now(),
        "configuration_id": models_digest,
    }
    if inputs:
        activity["inputs"] = [
            {"id": item, "uri": f"urn:uuid:{item}", "role": "DL0"} for item in inputs.split()
        ]
    extra = keep | {
        "obs__livetime_s": livetime,
        "dl3__status": VALID,
        "dl3__events": len(events),
        "dl3__producer": PRODUCER_ID if disclaimer else f"ctabatch {__version__}",
        "dl3__irf_digest": response.digest,
        "dl3__models_digest": models_digest,
    }
    return build_product_metadata(
        description=f"DL3 of observation {observation.obs_id}, {observation.object}",
        data={
            "level": "DL3",
            "division": "Event",
            "association": "Subarray",
            "type": "Observation",
        },
        instance={key: value for key, value in instance.items() if value is not None},
        curation={"release": observation.metadata.get("curation__release", DEFAULT_RELEASE)},
        model=_MODEL,
        contact=(config.contact if config is not None else Contact()).model_dump(),
        observation={
            "coverage": {
                "time": {"t_min": start, "t_max": end},
                "space": {
                    "ra": f"{observation.ra!r} deg",
                    "dec": f"{observation.dec!r} deg",
                    "field_of_view": f"{_FIELD} deg",
                },
            }
        },
        activity=activity,
        disclaimer=disclaimer,
        extra=extra | dict(lineage or {}),
    )


def files_digest(paths) -> str:
    """SHA-256 over the content of files, in order."""
    total = hashlib.sha256()
    for path in paths:
        total.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return total.hexdigest()
