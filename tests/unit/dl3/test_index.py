"""Index files, opened by Gammapy."""

import shutil
import warnings

import pytest
from astropy.io import fits

from ctabatch.cli.main import run
from ctabatch.dl3.index import write_index
from ctabatch.errors import InputError


def second(product, folder, **cards):
    """Another observation, made of the first one."""
    path = folder / "other.dl3.fits.gz"
    with fits.open(product) as hdus:
        changed = fits.HDUList([hdu.copy() for hdu in hdus])
        changed["EVENTS"].header.update({"OBS_ID": 1002} | cards)
        changed.writeto(path, checksum=True)
    return path


def test_gammapy_finds_the_observations(product, tmp_path):
    from gammapy.data import DataStore
    from gammapy.data.data_store import DataStoreChecker

    (tmp_path / "data").mkdir()
    first = shutil.copy(product, tmp_path / "data")
    run(["dl3", "index", str(first), str(second(product, tmp_path)), "--output", str(tmp_path)])
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = DataStore.from_dir(moved)
        checker = DataStoreChecker(store)
        records = list(checker.run(["obs_table", "hdu_table", "consistency"]))
        observations = store.get_observations([1001, 1002])
    assert [item for item in records if item["level"] in ("error", "warning")] == []
    assert len(observations) == 2
    observation = observations["1001"]
    assert observation.available_irfs == ["aeff", "edisp", "psf", "bkg"]
    assert observation.observation_live_time_duration.to_value("s") == pytest.approx(59.8)
    assert len(observation.events.table) > 500


def test_refused(product, tmp_path):
    with pytest.raises(InputError, match="second file of observation 1001"):
        write_index([product, shutil.copy(product, tmp_path)], tmp_path)
    with pytest.raises(InputError, match="MJDREFI = 50000"):
        write_index([product, second(product, tmp_path, MJDREFI=50000)], tmp_path)
    with pytest.raises(InputError, match="no such file"):
        write_index([tmp_path / "absent.fits"], tmp_path)
    text = tmp_path / "text.fits"
    text.write_text("hello")
    with pytest.raises(InputError, match="can't be read as FITS"):
        write_index([text], tmp_path)
    assert not (tmp_path / "hdu-index.fits.gz").exists()


def test_file_without_events(inputs, tmp_path):
    with pytest.raises(InputError, match="has no events"):
        write_index([inputs.irf], tmp_path)
