import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from astropy.io import fits

from synthetic_dl2 import make_dl2, observation_metadata, write_cuts
from synthetic_irf import make_irf

SELECT = Path(__file__).parents[3] / "config" / "pipeline" / "irf.yaml"


@dataclass
class Inputs:
    """What a DL3 file is made of."""

    folder: Path
    events: list
    cuts: Path
    irf: Path
    observation: Path
    metadata: dict
    select: Path = SELECT

    def create(self, output, **changes):
        """Make the DL3 file."""
        from ctabatch.dl3.create import create_dl3

        given = {
            "cuts": self.cuts,
            "irf": self.irf,
            "select": self.select,
            "observation": self.observation,
        }
        events = changes.pop("events", self.events)
        return create_dl3(events, output=output, **given | changes)

    def write_observation(self, path, **changes):
        """Write changed metadata of the observation; None removes a key."""
        content = {k: v for k, v in (self.metadata | changes).items() if v is not None}
        path.write_text(json.dumps(content))
        return path


def write_irf(path, zenith=19.4, azimuth=180.0, **cards):
    """Write an IRF with the cards of a product."""
    with make_irf().hdus() as hdus:
        header = hdus[0].header
        header["SIMZEN"], header["SIMAZ"], header["SIMNSB"] = zenith, azimuth, 1.0
        header["INSTRUME"] = "CTAO-North"
        header["DATAID"] = "00000000-0000-4000-8000-000000000002"
        header["COMMENT"] = "Made with the open simulator 'openiact'."
        header.update(cards)
        hdus.writeto(path, overwrite=True, checksum=True)
    return path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """DL2 events, cuts, IRF and metadata of one observation."""
    folder = tmp_path_factory.mktemp("dl3")
    metadata = observation_metadata(2000)
    observation = folder / "observation.json"
    observation.write_text(json.dumps(metadata))
    return Inputs(
        folder,
        [make_dl2(2000).write(folder / "events.dl2.h5")],
        write_cuts(folder / "cuts.fits"),
        write_irf(folder / "irf.fits.gz"),
        observation,
        metadata,
    )


@pytest.fixture(scope="session")
def product(inputs):
    """A DL3 file with its sidecar; not to be changed."""
    path = inputs.folder / "made" / "1001.dl3.fits.gz"
    inputs.create(path, lineage={"dl3__irf": "test:/ctao.dpps.test/test/irf.fits.gz"})
    return path


@pytest.fixture
def damaged(product, tmp_path):
    """A copy of the DL3 file that a test changes: gives HDUs, writes them with right checksums."""

    def damage(change, **options):
        path = tmp_path / product.name
        with fits.open(product) as hdus:
            changed = fits.HDUList([hdu.copy() for hdu in hdus])
            changed = change(changed) or changed
            changed.writeto(path, overwrite=True, checksum=True, **options)
        return path

    return damage
