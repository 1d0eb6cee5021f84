"""Observations of projects in the embedded lake, and people who are logged in."""

import hashlib
import time

import yaml

from ctabatch.config.model import Configuration
from ctabatch.iam.store import Login, LoginStore, Token
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake

ROOT = "test:/ctao.dpps.test/test"
FUTURE, PAST = "2999-01-01", "2020-01-01"
IRF, OLD_IRF = f"{ROOT}/irf-valid.fits.gz", f"{ROOT}/irf-old.fits.gz"

IAM = {
    "providers": {
        "escape": {
            "issuer": "https://iam.example.org/",
            "client_id": "cta-batch",
            "claims": {"projects": [{"group": "/cta/(P[0-9]+)", "gives": "\\1"}]},
        }
    }
}


def observation(obs_id, project, **changes):
    """Metadata of a DL3 file, with the keys that all parts agreed on."""
    return {
        "data__level": "DL3",
        "data__type": "AirShower",
        "instance__obs_id": obs_id,
        "obs__object": "Crab",
        "obs__ra_deg": 83.63,
        "obs__dec_deg": 22.51,
        "obs__start": f"2026-03-{obs_id % 28 + 1:02d}T20:00:00",
        "obs__end": f"2026-03-{obs_id % 28 + 1:02d}T20:30:00",
        "obs__zenith_deg": 20.0,
        "obs__livetime_s": 1700.0,
        "proposal_id": project,
        "release_date": FUTURE,
        "dl3__status": "valid",
        "dl3__irf": IRF,
        "activity__id": f"activity-{obs_id}",
        **changes,
    }


#: Files of the lake: name to metadata.
FILES = {
    "irf-valid.fits.gz": {"data__level": "DL3", "data__type": "GridIRF", "irf__status": "valid"},
    "irf-old.fits.gz": {"data__level": "DL3", "data__type": "GridIRF", "irf__status": "superseded"},
    "1.dl3.fits": observation(1, "P42"),
    "2.dl3.fits": observation(2, "P42", obs__zenith_deg=45.0, dl3__irf=OLD_IRF),
    "3.dl3.fits": observation(
        3, "P42", obs__object="Sgr A*", obs__ra_deg=266.4, obs__dec_deg=-29.0, dl3__irf=f"{ROOT}/no"
    ),
    "4.dl3.fits": observation(4, "P42", dl3__status="superseded", dl3__irf=None),
    "5.dl3.fits": observation(5, "P77"),
    "6.dl3.fits": observation(6, "P78", release_date=PAST),
    "7.dl3.fits": observation(7, "P78"),
    "1.log": {"data__level": "DL3", "activity__id": "activity-1", "proposal_id": "P42"},
    "5.log": {"data__level": "DL3", "activity__id": "activity-5", "proposal_id": "P77"},
}


def fill_lake(folder, files=FILES):
    """Ingest small files; returns the lake of a configuration."""
    lake = open_lake(
        Configuration.model_validate({"lake": {"local": {"folder": str(folder)}}}).lake
    )
    new = []
    for name, metadata in files.items():
        path = folder.parent / name
        path.write_text(name + hashlib.sha256(name.encode()).hexdigest())
        keys = {key: value for key, value in metadata.items() if value is not None}
        new.append(NewFile(path, f"{ROOT}/{name}", keys))
    lake.ingest(new)
    return lake


def log_in_as(subject, *groups):
    """Keep a login as ``cta-batch login`` does; returns the section ``iam``."""
    config = Configuration.model_validate({"iam": IAM})
    claims = {"sub": subject, "iss": "https://iam.example.org/", "wlcg.groups": list(groups)}
    token = Token("t", time.time(), time.time() + 1e6)
    login = Login(claims["iss"], "cta-batch", subject, claims, "r", {"": token})
    LoginStore("escape", config.iam.providers["escape"]).save(login)
    return IAM


def write_config(folder, iam):
    """Write a configuration whose lake is the folder ``lake``."""
    path = folder / "config" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"iam": iam}))
