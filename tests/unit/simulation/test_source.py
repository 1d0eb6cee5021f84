import numpy as np
import pytest

from ctabatch.errors import InputError


@pytest.fixture(scope="module")
def card_file(make_card, tmp_path_factory):
    return make_card().write(tmp_path_factory.mktemp("card") / "gamma.openiact.json")


def events(path, **options):
    from ctapipe.io import EventSource

    with EventSource(path, **options) as source:
        return list(source)


@pytest.fixture(scope="module")
def run_five(card_file):
    return events(card_file, run=5)


def test_ctapipe_finds_the_source(card_file):
    from ctapipe.io import EventSource

    with EventSource(card_file) as source:
        assert type(source).__name__ == "OpenIACTEventSource"
        assert source.obs_ids == [1]
        assert source.metadata["producer"] == "openiact"
        assert "not an official" in source.metadata["disclaimer"]


def test_same_card_and_run_give_the_same_images(card_file, run_five):
    first, second = run_five, events(card_file, run=5)
    assert len(first) == len(second) > 10
    for a, b in zip(first, second, strict=True):
        assert a.index.event_id == b.index.event_id
        assert a.index.obs_id == 5
        assert a.dl1.tel.keys() == b.dl1.tel.keys()
        for tel_id in a.dl1.tel:
            np.testing.assert_array_equal(a.dl1.tel[tel_id].image, b.dl1.tel[tel_id].image)


def test_other_runs_are_other_showers(card_file, run_five):
    other = events(card_file, run=6, max_events=10)
    energies = [
        {float(e.simulation.shower.energy.value) for e in found} for found in (run_five, other)
    ]
    assert not energies[0] & energies[1]


def test_events_are_complete(card_file):
    found = events(card_file, max_events=5, true_images=True)
    assert len(found) == 5
    for event in found:
        assert len(event.dl1.tel) >= 2
        assert set(event.trigger.tels_with_trigger) == set(event.dl1.tel)
        for tel_id, camera in event.dl1.tel.items():
            truth = event.simulation.tel[tel_id]
            assert np.isfinite(camera.image).all()
            assert np.isfinite(camera.peak_time).all()
            assert truth.true_image.sum() == truth.true_image_sum > 10
            assert truth.impact.distance.value < 900
            bright = truth.true_image > 30
            assert np.allclose(camera.image[bright], truth.true_image[bright], rtol=0.6)


def test_allowed_telescopes_only(card_file):
    found = events(card_file, allowed_tels={1, 2, 3, 5})
    assert found
    assert {t for event in found for t in event.dl1.tel} <= {1, 2, 3, 5}


def test_thrown_showers_are_all_counted(card_file):
    from ctapipe.io import EventSource

    with EventSource(card_file, run=3) as source:
        config = source.simulation_config[3]
        histogram = source.simulated_shower_distributions[3]
        primaries = source._primaries
    assert config.n_showers * config.shower_reuse == 200
    assert histogram.n_entries == histogram.histogram.sum() == 200
    edges = histogram.bins_energy.to_value("TeV")
    expected, _ = np.histogram(primaries.energy, edges)
    np.testing.assert_array_equal(histogram.histogram.sum(axis=0), expected)
    shape = (len(histogram.bins_core_dist) - 1, len(edges) - 1)
    assert histogram.histogram.shape == shape
    inner = histogram.bins_core_dist.to_value("m") < 150
    assert histogram.histogram[inner[1:]].sum() == pytest.approx(50, abs=25)


@pytest.fixture(scope="module")
def collect(make_card):
    """Return a function: true photo-electrons and events of 60 showers seen under a changed card."""
    from ctabatch.simulation.primaries import draw
    from ctabatch.simulation.simulator import Simulator

    primaries = draw(make_card(energy_max="0.5 TeV"), np.random.default_rng(1))[:60]

    def run(**change):
        found = list(Simulator(make_card(**change)).run(primaries, np.random.default_rng(2)))
        light = sum(camera.true_image.sum() for e in found for camera in e.cameras.values())
        return light, len(found)

    return run


@pytest.fixture(scope="module")
def nominal(collect):
    return collect()


@pytest.mark.parametrize(
    "change",
    [
        {"optical_throughput": 0.5},
        {"energy_scale": 0.5},
        {"type_throughput": {"LST": 0.5, "MST-NectarCam": 0.5}},
        {"atmosphere": {"aerosol_optical_depth": 0.9}},
    ],
)
def test_variations_take_light_away(collect, nominal, change):
    light, stored = collect(**change)
    assert light < 0.75 * nominal[0]
    assert stored <= nominal[1]


def test_night_sky_makes_noise(make_card):
    from ctabatch.simulation.camera import make_camera
    from ctabatch.simulation.instrument import MODELS

    dark, bright = (make_camera(MODELS["LST"], nsb).settings[0] for nsb in (1.0, 4.0))
    assert bright == pytest.approx(4 * dark)


@pytest.mark.parametrize("particle", ["electron", "proton"])
def test_other_primaries(make_card, particle, tmp_path):
    card = make_card(particle=particle, energy_min="0.3 TeV", view_cone="2 deg", showers_per_run=60)
    found = events(card.write(tmp_path / "p.openiact.json"))
    assert len(found) > 5
    primary = {"electron": 1, "proton": 101}[particle]
    assert {event.simulation.shower.shower_primary_id for event in found} == {primary}


def test_showers_left_out_would_not_have_triggered(make_card):
    from ctabatch.simulation.primaries import draw
    from ctabatch.simulation.simulator import Simulator

    card = make_card(
        particle="electron", energy_min="0.02 TeV", scatter_radius="1200 m", view_cone="9 deg"
    )
    simulator = Simulator(card)
    primaries = draw(card, np.random.default_rng(3))
    impacts = simulator.impacts(primaries)
    left = np.setdiff1d(np.arange(len(primaries)), simulator.hopeful(primaries, impacts))
    assert len(left) > 20
    rng = np.random.default_rng(4)
    assert all(simulator._shower(primaries, i, impacts[i], rng) is None for i in left)


@pytest.mark.slow
def test_the_process_tool_reaches_the_truth(make_card, tmp_path):
    from astropy.coordinates import angular_separation
    from ctapipe.core import run_tool
    from ctapipe.io import TableLoader
    from ctapipe.tools.process import ProcessorTool

    card = make_card(
        energy_min="0.5 TeV", energy_max="2 TeV", scatter_radius="150 m", showers_per_run=25,
        source_offset="0.5 deg",
    )  # fmt: skip
    path = card.write(tmp_path / "gamma.openiact.json")
    output = tmp_path / "gamma.dl2.h5"
    arguments = ["--input", str(path), "--output", str(output), "--OpenIACTEventSource.run=7"]
    arguments += ["--write-showers", "--no-write-images"]
    arguments += ["--provenance-log", str(tmp_path / "p.json")]
    assert run_tool(ProcessorTool(), arguments, cwd=tmp_path) == 0
    with TableLoader(output) as loader:
        table = loader.read_subarray_events(dl2=True, simulated=True)
        config = loader.read_simulation_configuration()
    assert config["n_showers"][0] == 25
    valid = table[table["HillasReconstructor_is_valid"]]
    assert len(valid) > 15
    assert set(valid["obs_id"]) == {7}
    miss = angular_separation(
        valid["true_az"].quantity,
        valid["true_alt"].quantity,
        valid["HillasReconstructor_az"].quantity,
        valid["HillasReconstructor_alt"].quantity,
    ).to_value("deg")
    assert np.median(miss) < 0.08
    core = np.hypot(
        valid["true_core_x"] - valid["HillasReconstructor_core_x"],
        valid["true_core_y"] - valid["HillasReconstructor_core_y"],
    )
    assert np.median(core) < 20


def test_a_bad_card_is_an_input_error(tmp_path):
    path = tmp_path / "bad.openiact.json"
    path.write_text('{"sample": "x"}')
    with pytest.raises(InputError, match=r"bad\.openiact\.json: particle: is missing"):
        events(path)
