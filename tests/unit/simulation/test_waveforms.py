"""Waveforms of images, and the images that ctapipe makes of them again."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.time import Time
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import ArrayEventContainer, CameraCalibrationContainer, PixelStatus
from ctapipe.image import TailcutsImageCleaner, hillas_parameters
from traitlets.config import Config

from ctabatch.simulation.instrument import make_subarray
from ctabatch.simulation.primaries import draw
from ctabatch.simulation.simulator import Simulator
from ctabatch.simulation.waveforms import HIGHEST, WaveformMaker

PROCESS = Path(__file__).parents[3] / "config" / "pipeline" / "process.yaml"
TIME = Time("2026-01-15T22:00:00")


@pytest.fixture(scope="module")
def card(make_card):
    return make_card(energy_min="0.3 TeV", showers_per_run=80)


@pytest.fixture(scope="module")
def subarray(card):
    return make_subarray(card)


@pytest.fixture(scope="module")
def images(card):
    """Telescope, image and peak times of a hundred camera images."""
    rng = np.random.default_rng(5)
    simulator = Simulator(card)
    found = [
        (tel_id, camera.image, camera.peak_time)
        for event in simulator.run(draw(card, rng), rng)
        for tel_id, camera in event.cameras.items()
    ]
    assert len(found) > 100
    return found[:120]


@pytest.mark.parametrize("tel_id", [1, 5])
def test_pulses_are_those_of_ctapipes_model(subarray, tel_id, rng):
    maker = WaveformMaker(subarray.tel[tel_id].camera)
    charge = rng.normal(5, 5, 300)
    time = rng.uniform(-2, 70, 300)  # some outside the readout
    samples = maker.readout.n_samples
    wanted = maker.model.get_waveform(charge.copy(), time, samples)[0]
    np.testing.assert_allclose(maker.waveforms(charge, time), wanted, atol=1e-9)


def test_pixels_away_from_the_signal_are_empty(subarray):
    maker = WaveformMaker(subarray.tel[5].camera)
    image = np.zeros(1855)
    image[:7] = 20.0
    r1 = maker.make(image, np.full(1855, 30.0), TIME)
    kept = PixelStatus.get_dvr_status(r1.pixel_status) > 0
    assert 7 < kept.sum() < 40
    assert not r1.waveform[0, ~kept].any()
    assert (PixelStatus.get_dvr_status(r1.pixel_status)[:7] == 3).all()
    assert not PixelStatus.is_invalid(r1.pixel_status).any()


def test_bright_pixels_saturate_and_say_so(subarray):
    maker = WaveformMaker(subarray.tel[5].camera)
    image = np.zeros(1855)
    image[3] = 1e5
    r1 = maker.make(image, np.full(1855, 30.0), TIME)
    assert r1.waveform.max() == HIGHEST
    saturated = (r1.pixel_status & PixelStatus.SATURATED) > 0
    assert list(np.flatnonzero(saturated)) == [3]


def test_ctapipe_gives_images_and_times_back(subarray, images):
    """The extraction of the shipped configuration; cleaned images are what DL2 is made of."""
    content = Config(yaml.safe_load(PROCESS.read_text()))
    calibrator = CameraCalibrator(subarray, config=content)
    cleaner = TailcutsImageCleaner(subarray, config=Config(content.ImageProcessor))
    makers = {i: WaveformMaker(subarray.tel[i].camera) for i in subarray.tel_ids}
    charge, width, moved, late = [], [], [], []
    for tel_id, image, peak_time in images:
        event = ArrayEventContainer()
        event.r1.tel[tel_id] = makers[tel_id].make(image, peak_time, TIME)
        event.monitoring.tel[tel_id].camera.coefficients = CameraCalibrationContainer(
            outlier_mask=np.zeros((1, len(image)), bool)
        )
        calibrator(event)
        dl1 = event.dl1.tel[tel_id]
        before, after = cleaner(tel_id, image), cleaner(tel_id, dl1.image)
        if before.sum() < 6 or image[before].sum() < 60:
            continue
        geometry = subarray.tel[tel_id].camera.geometry
        one = hillas_parameters(geometry[before], image[before])
        other = hillas_parameters(geometry[after], dl1.image[after])
        charge.append(other.intensity / one.intensity)
        width.append((other.width / one.width).to_value(""))
        moved.append(np.hypot(other.x - one.x, other.y - one.y).to_value("m"))
        bright = before & (image > 15)
        late.append(dl1.peak_time[bright] - peak_time[bright])
    assert len(charge) > 60
    assert 0.985 < np.mean(charge) < 1.005
    assert np.std(charge) < 0.03
    assert 0.985 < np.mean(width) < 1.015
    assert np.median(moved) < 0.002
    late = np.concatenate(late)
    assert abs(np.median(late)) < 0.05
    assert np.percentile(np.abs(late), 90) < 0.5
