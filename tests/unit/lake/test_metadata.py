"""Product metadata: ctao-datamodel's checks, sidecars, names in the lake."""

import json
import uuid

import astropy.units as u
import pytest
from astropy.time import Time
from ctao_datamodel.models.dataproducts import Product

from ctabatch.config.lake import LocalLakeSettings
from ctabatch.errors import InputError, IntegrityError
from ctabatch.lake.local import LocalLake
from ctabatch.lake.metadata import (
    build_product_metadata,
    did_for,
    new_file,
    read_sidecar,
    write_sidecar,
)

INPUT = str(uuid.uuid4())


def irf(**changes):
    """Metadata of an IRF."""
    values = {
        "description": "IRF of the test",
        "data": {
            "level": "DL3",
            "division": "Service",
            "association": "Subarray",
            "type": "GridIRF",
        },
        "instance": {
            "site_id": "CTAO-North",
            "subarray_id": 1,
            "facility_name": "Simulated-CTAO",
        },
        "curation": {"release": "openiact-v0.1"},
        "model": {"name": "GADF", "version": "0.3"},
        "contact": {"name": "A", "organization": "B", "email": "a@example.org"},
        "activity": {
            "name": "IRF production",
            "process": "simulation",
            "start": "2026-03-01T20:00:00",
            "configuration_id": "sha256-abc",
            "inputs": [
                {"uri": "lfn://ctao.dpps.test/model.pkl", "role": "reco-model", "id": INPUT},
                {"uri": "https://example.org/card", "role": "configuration"},
            ],
        },
        "simulation": {
            "production_name": "openiact",
            "node": {"zenith": 20 * u.deg, "azimuth": 180 * u.deg, "nsb_factor": 1.0},
        },
        "creation_time": Time("2026-03-01T21:00:00"),
        "extra": {"irf__request_digest": "d" * 64, "irf__parts": ["gamma", "proton"]},
    }
    return build_product_metadata(**(values | changes))


def test_flat_keys():
    metadata = irf()
    flat = metadata.flat()
    assert flat["data__level"] == "DL3"
    assert flat["data__type"] == "GridIRF"
    assert flat["instance__subarray_id"] == 1
    assert flat["instance__id"] == metadata.id
    assert flat["simulation__node__zenith"] == 20.0
    assert flat["creation_time"] == "2026-03-01T21:00:00.000000000"
    assert flat["activity__inputs"] == f"{INPUT} https://example.org/card"
    assert flat["activity__software__name"] == "ctabatch"
    assert flat["irf__request_digest"] == "d" * 64
    assert flat["irf__parts"] == "gamma proton"
    assert "observation" not in flat
    assert not any(isinstance(value, list | dict | None) for value in flat.values())


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"data": {"level": "DL9"}}, "metadata: data.level"),
        ({"contact": {"name": "A", "organization": "B", "email": "none"}}, "contact.email"),
        ({"instance": {"unknown": 1}}, "instance.unknown"),
        ({"activity": {"name": "x", "configuration_id": "c"}}, "activity.start"),
        ({"extra": {"data__level": "DL4"}}, "data__level"),
        ({"extra": {"bytes": 1}}, "bytes"),
        ({"extra": {"a-b": 1}}, "a-b"),
    ],
)
def test_mistakes_are_named(changes, where):
    with pytest.raises(InputError, match=where):
        irf(**changes)


def test_sidecar_returns_the_same(tmp_path):
    path = tmp_path / "irf.fits.gz"
    path.write_bytes(b"content")
    metadata = irf()
    sidecar = write_sidecar(path, metadata)
    assert sidecar.name == "irf.fits.gz.meta.json"
    assert json.loads(sidecar.read_text())["file"]["bytes"] == 7
    again = read_sidecar(path)
    assert isinstance(again.product, Product)
    assert again.flat() == metadata.flat()


def test_sidecar_of_another_file_is_refused(tmp_path):
    path = tmp_path / "irf.fits.gz"
    path.write_bytes(b"content")
    with pytest.raises(InputError, match=r"irf\.fits\.gz\.meta\.json: no such file"):
        read_sidecar(path)
    sidecar = write_sidecar(path, irf())
    path.write_bytes(b"CONTENT")
    with pytest.raises(IntegrityError, match="sidecar was written"):
        read_sidecar(path)
    sidecar.write_text("[]")
    with pytest.raises(InputError, match="not a sidecar"):
        read_sidecar(path)


def test_names_in_the_lake():
    product = irf().product
    assert did_for(product, "irf.fits.gz", vo="ctao.dpps.test", scope="test") == (
        "test:/ctao.dpps.test/test/openiact-v0.1/CTAO-North/DL3/Service/"
        "node-nsb01.0-zen020.0-az180.0/irf.fits.gz"
    )
    assert did_for(product, "irf.fits.gz", vo="ctao.dpps.test", scope="user.alice").startswith(
        "user.alice:/ctao.dpps.test/user/a/alice/openiact-v0.1/"
    )
    with pytest.raises(InputError, match="file name"):
        did_for(product, "../irf.fits.gz", vo="v", scope="s")
    with pytest.raises(InputError, match="DID"):
        did_for(product, "irf$.fits.gz", vo="v", scope="s")
    with pytest.raises(InputError, match="part"):
        did_for(irf(curation={"release": "../x"}).product, "f", vo="v", scope="s")
    with pytest.raises(InputError, match=r"curation\.release"):
        did_for(irf(curation={}).product, "f", vo="v", scope="s")


def test_a_product_is_found_by_its_metadata(tmp_path):
    path = tmp_path / "irf.fits.gz"
    path.write_bytes(b"content")
    write_sidecar(path, irf())
    lake = LocalLake(LocalLakeSettings(folder=tmp_path / "lake"))
    item = new_file(path, vo="ctao.dpps.test", scope="test")
    lake.ingest([item])
    query = (
        f"data__type = GridIRF and irf__request_digest = '{'d' * 64}' and "
        f"activity__inputs = *{INPUT}* and creation_time > 2026-03-01T20:59:59 and "
        "simulation__node__zenith <= 20 and instance__site_id = CTAO-*"
    )
    assert list(lake.search(query)["did"]) == [item.did]
