"""Fills a data lake with what a reprocessing looks for; the contents of the files don't matter."""

import hashlib
import uuid
from importlib.metadata import version
from pathlib import Path

from ctabatch.config.load import parse_config
from ctabatch.irf.resolve import pipeline_digest, read_pipeline
from ctabatch.lake.base import NewFile


def dl0_metadata(obs_id, chunk=1, chunks=1, **changes):
    """Metadata of a DL0 file: chunks of 5 minutes each, from 22 h on."""
    begin = 22 * 3600 + 300 * (chunk - 1)
    clock = [f"{s // 3600 % 24:02d}:{s // 60 % 60:02d}:00" for s in (begin, begin + 300)]
    content = {
        "data__level": "DL0",
        "data__division": "Event",
        "data__association": "Subarray",
        "data__type": "AirShower",
        "instance__id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{obs_id}/{chunk}")),
        "instance__site_id": "CTAO-North",
        "instance__obs_id": obs_id,
        "obs__object": "Crab",
        "obs__ra_deg": 83.63,
        "obs__dec_deg": 22.01,
        "obs__start": f"2026-01-15T{clock[0]}",
        "obs__end": f"2026-01-15T{clock[1]}",
        "obs__zenith_deg": 21.0,
        "obs__azimuth_deg": 178.0,
        "obs__nsb": "dark",
        "obs__ontime_s": 300.0,
        "obs__livetime_s": 294.0,
        "obs__subarray": "CTAO-North",
        "obs__triggers": 1000,
        "obs__chunk": chunk,
        "obs__chunks": chunks,
        "proposal_id": "P42",
        "release_date": "2027-01-15",
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


def irf_metadata(**changes):
    """Metadata of a valid IRF that was made with the configurations of the working directory."""
    return {
        "data__level": "DL3",
        "data__type": "GridIRF",
        "instance__site_id": "CTAO-North",
        "irf__request_digest": "d1",
        "irf__status": "valid",
        "irf__variant": "nominal",
        "irf__subarray": "CTAO-North",
        "irf__zenith_deg": 20.0,
        "irf__azimuth_deg": 180.0,
        "irf__nsb": "dark",
        "irf__simulator": "openiact",
        "simulation__node__nsb_factor": 1.0,
        "curation__release": "one",
        "software__ctapipe": version("ctapipe"),
        "activity__configuration_id": pipeline_digest(read_pipeline(parse_config({}), "test")),
        "creation_time": "2026-01-01T00:00:00.000",
    } | changes


class Filler:
    """Puts files into a lake.

    Parameters
    ----------
    lake : ctabatch.lake.base.DataLake
        The lake.
    root : str
        ``scope:/folder`` that the DIDs are made in.
    folder : pathlib.Path
        For the files before they are ingested.
    tape : str
        Storage element of DL0.
    """

    def __init__(self, lake, root, folder, tape="TAPE"):
        self.lake, self.root, self.folder, self.tape = lake, root, Path(folder), tape

    def put(self, name, content, metadata, rse=None):
        """Ingest a file; returns its DID."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        did = f"{self.root}/{name}"
        self.lake.ingest([NewFile(path, did, metadata)], rse=rse)
        return did

    def dl0(self, obs_id, chunks=1, size=1000, only=None, **changes):
        """DL0 files of an observation; `only` names the chunks that are put."""
        return [
            self.put(
                f"dl0/run{obs_id}-{chunk}.dl0.h5",
                bytes([chunk]) * size,
                dl0_metadata(obs_id, chunk, chunks, **changes),
                rse=self.tape,
            )
            for chunk in only or range(1, chunks + 1)
        ]

    def irf(self, name="irf", models=("energy", "classifier", "cuts"), **changes):
        """An IRF with its models; returns the DID of the IRF."""
        metadata = irf_metadata(**changes)
        for kind in models:
            content = f"{name} {kind}".encode()
            own = {
                "data__level": "DL2",
                "data__type": "RecoModel",
                "models__kind": kind,
                "models__sha256": hashlib.sha256(content).hexdigest(),
            }
            self.put(f"{name}/{kind}.pkl", content, metadata | own)
        return self.put(f"{name}/{name}.fits.gz", name.encode(), metadata)
