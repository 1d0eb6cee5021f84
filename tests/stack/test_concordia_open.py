"""Images of the open programs, built for real from package index and this project; real events.

A few minutes, most of it downloads: images are kept beside the stack's state between sessions.
"""

import pytest

from checkout import Checkout, copy_checkout
from concordia_site import copy_image, kept_store
from ctabatch.concordia.build import obtain
from ctabatch.concordia.plan import Plan, make_plan
from ctabatch.concordia.runs import perform
from ctabatch.config.concordia import ConcordiaRequest
from ctabatch.config.load import load_config
from ctabatch.files import write_json
from tour import play

#: Images are built from the network, on machines that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def store():
    """Folder of images, kept between sessions."""
    return kept_store()


def run_once(store, tmp_path, **content):
    """Get the image of a request and make its first run; returns the folder."""
    request = ConcordiaRequest(name="open", runs=2, images={"store": str(store)}, **content)
    record = obtain(request)
    assert record["self_test"] == "passed"
    write_json(tmp_path / "plan.json", make_plan(request))
    perform(Plan.read(tmp_path / "plan.json"), 1, tmp_path / "run")
    return tmp_path / "run"


def test_chasm_gives_showers_that_eventio_reads(store, tmp_path):
    eventio = pytest.importorskip("eventio")
    folder = run_once(
        store,
        tmp_path,
        recipe={"code": "chasm"},
        card={
            "primary": "gamma",
            "energy_min": "1 TeV",
            "energy_max": "1 TeV",
            "zenith_min": "20 deg",
            "zenith_max": "20 deg",
            "showers_per_run": 3,
            "detectors": [{"x": f"{x} m", "y": "0 m", "radius": "6 m"} for x in (60, 120, 400)],
        },
    )
    with eventio.IACTFile(str(folder / "run000001.corsika")) as file:
        assert file.header["run_number"] == 1
        assert file.telescope_positions["x"].tolist() == [6000, 12000, 40000]
        events = [
            (event.header["total_energy"], event.header["zenith"], dict(event.n_photons))
            for event in file
        ]
    assert len(events) == 3
    for energy, zenith, photons in events:
        assert energy == pytest.approx(1000)
        assert zenith == pytest.approx(0.349, abs=1e-3)
        # Tens to hundreds of photons a square metre inside the light pool, few far outside.
        inside, edge, outside = (photons[i] / (3.1416 * 36) for i in range(3))
        assert 30 < inside < 600
        assert 10 < edge < 600
        assert outside < edge / 3


def test_openiact_gives_images_that_ctapipe_reads(store, tmp_path):
    tables = pytest.importorskip("tables")
    folder = run_once(
        store,
        tmp_path,
        recipe={"code": "openiact"},
        card={
            "primary": "gamma",
            "energy_min": "300 GeV",
            "energy_max": "3 TeV",
            "zenith_min": "20 deg",
            "zenith_max": "20 deg",
            "azimuth_min": "180 deg",
            "azimuth_max": "180 deg",
            "scatter_radius": "200 m",
            "showers_per_run": 100,
            "subarray": "CTAO-North",
        },
    )
    with tables.open_file(str(folder / "run000001.dl1.h5")) as file:
        triggers = file.root.dl1.event.subarray.trigger
        assert len(triggers) > 20
        assert set(triggers.col("obs_id")) == {1}
        assert "parameters" in file.root.dl1.event.telescope


def test_section_of_the_tour(store, tmp_path):
    checkout = Checkout(tmp_path)
    copy_checkout(tmp_path)
    image = tmp_path / "resources/images"
    # the image of the page's request: the kept store has it or gets it
    request = load_config(tmp_path / "config/test/concordia.yaml").concordia
    record = obtain(
        request.model_copy(update={"images": request.images.model_copy(update={"store": store})})
    )
    copy_image(record, store, image)
    play(checkout, "CONCORDIA")
