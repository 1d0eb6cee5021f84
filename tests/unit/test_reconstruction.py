"""The fast stereo reconstruction against ctapipe's own, with the configuration that ships."""

import copy
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml

from ctabatch.simulation.card import RunCard
from ctabatch.simulation.subarrays import load_subarray

PROCESS = Path(__file__).parents[2] / "config" / "pipeline" / "process.yaml"
#: The original takes the angle between parallel vectors by arccos, which is good to 1e-8 rad only.
UNCERTAINTIES = {"alt_uncert", "az_uncert"}


@pytest.fixture(scope="module")
def settings():
    return yaml.safe_load(PROCESS.read_text())


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    layout = load_subarray("CTAO-North")
    card = RunCard(
        sample="reconstruction",
        particle="proton",
        energy_min="0.1 TeV",
        energy_max="20 TeV",
        spectral_index=-1.5,
        view_cone="3 deg",
        scatter_radius="300 m",
        showers_per_run=250,
        zenith="40 deg",
        azimuth="350 deg",
        site=layout.site,
        telescopes=layout.telescopes,
    )
    return card.write(tmp_path_factory.mktemp("card") / "proton.openiact.json")


def parametrised(path, settings, telescope_frame=True, **options):
    """Events with image parameters, and their array."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.image import ImageProcessor
    from ctapipe.io import DataLevel, EventSource
    from traitlets.config import Config

    with EventSource(path, **options) as source:
        calibrate = CameraCalibrator(subarray=source.subarray)
        process = ImageProcessor(
            subarray=source.subarray, use_telescope_frame=telescope_frame, config=Config(settings)
        )
        events = []
        for event in source:
            if DataLevel.DL1_IMAGES not in source.datalevels:
                calibrate(event)
            process(event)
            events.append(event)
        return source.subarray, events


def compare(subarray, events, settings):
    """Assert equal results of both reconstructors; returns the number of reconstructed events."""
    from ctapipe.reco import HillasReconstructor
    from ctapipe.reco.reconstructor import Reconstructor
    from traitlets.config import Config

    quality = settings["ShowerProcessor"]["FastHillasReconstructor"]
    config = Config({"HillasReconstructor": quality, "FastHillasReconstructor": quality})
    original = HillasReconstructor(subarray=subarray, config=config)
    fast = Reconstructor.from_name("FastHillasReconstructor", subarray=subarray, config=config)
    assert fast.quality_query.quality_criteria == original.quality_query.quality_criteria
    valid = 0
    for event in events:
        ours = copy.deepcopy(event)
        original(event)
        fast(ours)
        theirs, mine = (e.dl2.stereo.geometry["HillasReconstructor"] for e in (event, ours))
        assert mine.prefix == theirs.prefix
        valid += theirs.is_valid
        for name, value in theirs.items():
            tolerance = {"atol": 5e-6} if name in UNCERTAINTIES else {"rtol": 1e-9, "atol": 1e-9}
            found = mine[name]
            if isinstance(value, u.Quantity):
                value, found = value.value, found.to_value(value.unit)
            np.testing.assert_allclose(found, value, err_msg=name, **tolerance)
        assert event.dl2.tel.keys() == ours.dl2.tel.keys()
        for tel_id, item in event.dl2.tel.items():
            theirs, mine = (e.dl2.tel[tel_id].impact["HillasReconstructor"] for e in (event, ours))
            assert mine.prefix == theirs.prefix
            np.testing.assert_allclose(
                mine.distance.to_value("m"), theirs.distance.to_value("m"), rtol=1e-9, atol=1e-9
            )
            assert item.impact.keys() == {"HillasReconstructor"}
        for tel_id, camera in event.dl1.tel.items():
            np.testing.assert_allclose(
                ours.dl1.tel[tel_id].parameters.core.psi.to_value("deg"),
                camera.parameters.core.psi.to_value("deg"),
                rtol=1e-9,
                atol=1e-9,
            )
    return valid


@pytest.mark.parametrize("telescope_frame", [True, False])
def test_simulated_events_get_the_numbers_of_ctapipe(simulated, settings, telescope_frame):
    subarray, events = parametrised(simulated, settings, telescope_frame)
    valid = compare(subarray, events, settings)
    assert valid > 20
    assert valid < len(events)  # rejected events are compared, too


def test_telescopes_that_point_apart(simulated, settings):
    subarray, events = parametrised(simulated, settings, max_events=20)
    for event in events:
        for tel_id, monitored in event.monitoring.tel.items():
            pointing = monitored.pointing
            pointing.altitude = pointing.altitude + 0.2 * tel_id * u.deg
            pointing.azimuth = pointing.azimuth - 0.3 * tel_id * u.deg
    assert compare(subarray, events, settings) > 5


@pytest.mark.data
@pytest.mark.parametrize("telescope_frame", [True, False])
@pytest.mark.parametrize(
    "name", ["gamma_prod6_tel_event_header_v4.simtel.zst", "camsettings_v6.simtel.zst"]
)
def test_events_of_sim_telarray(test_data, settings, name, telescope_frame):
    subarray, events = parametrised(
        test_data / "simtel" / name, settings, telescope_frame, skip_calibration_events=True
    )
    assert compare(subarray, events, settings) >= 1
