import astropy.units as u
import numpy as np
import pytest

from ctabatch.simulation import cascade, hadrons, light, photons
from ctabatch.simulation.atmosphere import ctapipe_profile, make_air
from ctabatch.simulation.card import AtmosphereCard
from ctabatch.simulation.instrument import MODELS
from ctabatch.simulation.primaries import draw, draw_energies
from require import require

FIELD_FREE = np.zeros(2)


@pytest.fixture(scope="module")
def air():
    return make_air(AtmosphereCard(), 2156.0)


def profiles(code, energy, showers, rng, bins=34):
    """Develop showers; profiles summed over cascades, numbers of muons, first interactions."""
    heights = np.linspace(60e3, 0, int(bins * cascade.DEPTH_STEP) + 1)
    work = hadrons.make_scratch(bins)
    summed, muons, first = np.zeros((showers, bins)), [], []
    for i in range(showers):
        n, m, x = hadrons.develop(
            code, energy, heights, FIELD_FREE, work.profile, work.axes, work.muons, rng
        )
        summed[i] = work.profile[:n].sum(axis=0)
        muons.append(m)
        first.append(x)
    return summed, np.array(muons), np.array(first)


def test_us_standard_atmosphere(air):
    # Overburden and density of the U.S. Standard Atmosphere 1976 at 0, 5 and 10 km.
    ground = make_air(AtmosphereCard(), 0.0)
    assert ground.overburden[0] == pytest.approx(1036.1, rel=2e-3)
    for height, density in ((0, 1.225e-3), (5e3, 7.364e-4), (10e3, 4.135e-4)):
        assert np.interp(height, ground.height, ground.density) == pytest.approx(density, rel=0.035)
    assert ground.refractivity[0] == pytest.approx(2.83e-4, rel=0.01)
    height = air.height_of(300.0)
    assert np.interp(height, air.height, air.overburden) == pytest.approx(300.0, rel=1e-4)


def test_ctapipe_gets_the_same_atmosphere(air):
    profile = ctapipe_profile(air)
    height = np.array([2500.0, 8000.0, 15000.0, 30000.0])
    overburden = profile.integral(height * u.m).to_value("g / cm2")
    np.testing.assert_allclose(overburden, np.interp(height, air.height, air.overburden), rtol=2e-3)


def test_extinction(air):
    clear = air.transmission(np.array([300.0, 400.0, 500.0]), 1.0)
    assert (np.diff(clear, axis=0) <= 0).all()
    assert (np.diff(clear, axis=1)[1:] > 0).all()
    assert 0.65 < np.interp(10e3, air.height, clear[:, 1]) < 0.85
    hazy = make_air(AtmosphereCard(aerosol_optical_depth=0.4), 2156.0)
    assert (hazy.transmission(np.array([400.0]), 1.0)[100] < clear[100, 1]).all()


@pytest.mark.parametrize("energy", [0.1, 1.0, 10.0])
def test_photon_cascades_follow_greisen_in_the_mean(energy, rng):
    summed, muons, first = profiles(cascade.PHOTON, energy, 250, rng, bins=40)
    depth = (np.arange(40) + 0.5) * cascade.DEPTH_STEP
    mean = np.array([cascade.greisen(energy, x) for x in depth])
    assert summed.mean(axis=0).sum() == pytest.approx(mean.sum(), rel=0.06)
    assert abs(depth[summed.mean(axis=0).argmax()] - depth[mean.argmax()]) <= 25
    assert muons.sum() == 0
    assert first.mean() == pytest.approx(9 / 7 * cascade.RADIATION_LENGTH, rel=0.2)


def test_energy_goes_into_track_length(rng):
    summed, _, _ = profiles(cascade.PHOTON, 0.05, 300, rng, bins=40)
    length = summed.sum(axis=1).mean() * cascade.DEPTH_STEP / cascade.RADIATION_LENGTH
    assert length * cascade.CRITICAL_ENERGY / 0.05 == pytest.approx(1.0, abs=0.08)


def test_electrons_are_ahead_of_photons(rng):
    depth = (np.arange(34) + 0.5) * cascade.DEPTH_STEP
    gravity = {}
    for code in (cascade.PHOTON, cascade.ELECTRON):
        summed, _, _ = profiles(code, 1.0, 300, rng)
        gravity[code] = (summed.mean(axis=0) * depth).sum() / summed.mean(axis=0).sum()
    assert 10 < gravity[cascade.PHOTON] - gravity[cascade.ELECTRON] < 50


def test_hadrons_have_muons_and_less_light_that_grows_with_energy(rng):
    part = {}
    for energy in (0.1, 1.0, 10.0):
        summed, muons, _ = profiles(cascade.NUCLEON, energy, 200, rng, bins=40)
        gamma, _, _ = profiles(cascade.PHOTON, energy, 50, rng, bins=40)
        part[energy] = summed.sum(axis=1).mean() / gamma.sum(axis=1).mean()
        assert muons.mean() > 1
        assert summed.sum(axis=1).std() / summed.sum(axis=1).mean() > 0.15
    assert 0.1 < part[0.1] < part[1.0] < part[10.0] < 0.85


def branch_lines(energy, bend, rng, showers=150):
    """Mean slopes and start positions of showers, weighted with particles; shape (showers, 2)."""
    heights = np.linspace(60e3, 0, 851)
    work = hadrons.make_scratch(34)
    slopes = np.zeros((showers, 2))
    for i in range(showers):
        n, _, _ = hadrons.develop(
            cascade.PHOTON, energy, heights, bend, work.profile, work.axes, work.muons, rng
        )
        weight = work.profile[:n].sum(axis=1)
        slopes[i] = weight @ work.axes[:n, 3:5] / weight.sum()
    return np.rad2deg(slopes.std(axis=0))


def test_axes_scatter_less_at_high_energy(rng):
    low, high = (branch_lines(energy, FIELD_FREE, rng) for energy in (0.1, 1.0))
    assert (low > 0.01).all()
    assert (low < 0.15).all()
    assert (high < 0.3 * low).all()


def test_the_magnetic_field_spreads_across_itself(rng):
    free = branch_lines(0.1, FIELD_FREE, rng)
    bent = branch_lines(0.1, np.array([0.3e-3 * 40e-6, 0.0]), rng)
    assert bent[0] > 1.2 * free[0]
    assert bent[1] == pytest.approx(free[1], rel=0.4)


def test_yield_is_below_that_of_fast_particles(air):
    tables = light.make_tables(air)
    made = tables.yield_per_metre()
    most = light.PHOTONS_PER_METRE * 2 * tables.refractivity
    assert (made < most).all()
    # Late stages have slower electrons, so less light.
    assert (np.diff(made[:, 20]) < 0).all()
    # The light of fast electrons piles up at the Cherenkov angle.
    stage = np.argmin(abs(light.STAGES + 4))
    peak = light.ANGLE_ROOTS[tables.intensity[stage, 16].argmax()] ** 2
    assert peak == pytest.approx(np.sqrt(2 * tables.refractivity[16]), rel=0.15)


@pytest.mark.parametrize("energy", [0.1, 1.0, 10.0])
def test_light_on_the_ground_agrees_with_chasm(air, energy):
    try:
        import CHASM
    except ImportError:
        CHASM = None  # noqa: N806
    require(CHASM is not None, "chasm-nuspacesim is not installed")
    zenith = np.deg2rad(20.0)
    tables = light.make_tables(air)
    vertical = cascade.vertical_heights(air)
    heights = cascade.axis_heights(vertical, air.overburden[0], np.cos(zenith))
    origin = np.array([np.sin(zenith), 0.0, np.cos(zenith)])
    across = np.array([0.0, 1.0, 0.0])
    frame = np.stack([across, np.cross(origin, across), origin])
    depth = np.arange(0, len(heights) - 1, cascade.DEPTH_STEP) + 0.5 * cascade.DEPTH_STEP
    profile = np.array([[cascade.greisen(energy, x) for x in depth]])
    axes = np.zeros((1, 6))
    axes[0, 5] = depth[profile[0].argmax()]
    slices = np.zeros((photons.MAX_SLICES, 8))
    index = np.zeros((photons.MAX_SLICES, 2), np.int64)
    n = photons.slices_of(
        profile, axes, 1, np.zeros(3), frame, heights, np.cos(zenith), tables.length, slices, index
    )
    distance = np.array([60.0, 80, 100, 130, 160, 200, 300, 400, 500])
    place = distance[:, None] * across
    ours = photons.expected(
        slices, index, n, place, np.ones(len(distance)), np.zeros(len(distance), int),
        np.ones((1, 200)), origin, np.full(len(distance), -1.0), tables.intensity,
        np.zeros((len(distance), photons.MAX_SLICES), np.float32),
    )  # fmt: skip

    reference = CHASM.ShowerSimulation()
    reference.add(CHASM.DownwardAxis(zenith, 0.0, ground_level=2156.0))
    fine = np.linspace(1, 1400, 700)
    reference.add(CHASM.UserShower(fine, np.array([cascade.greisen(energy, x) for x in fine])))
    reference.add(CHASM.SphericalCounters(place, 1 / np.sqrt(np.pi)))  # 1 m2 across the light
    reference.add(CHASM.Yield(light.WAVELENGTHS[0], light.WAVELENGTHS[-1]))
    signal = reference.run(mesh=False, att=False)
    theirs = np.asarray(signal.photons).reshape(len(distance), -1).sum(axis=1)
    ratio = ours / theirs
    assert ratio.min() > 0.85
    assert ratio.max() < 1.35


def test_detection_falls_with_the_path_through_air(air):
    for model in MODELS.values():
        seen = light.detection(air, model, 1.0)
        assert (np.diff(seen) <= 0).all()
        assert (light.detection(air, model, 0.5)[1:] < seen[1:]).all()


def test_energies_follow_the_power_law(rng):
    energy = draw_energies(rng, 200_000, 0.1, 100.0, -2.0)
    assert energy.min() >= 0.1
    assert energy.max() <= 100
    assert np.mean(energy > 1.0) == pytest.approx((1 - 0.01) / (10 - 0.01), rel=0.03)


def test_directions_and_cores_fill_their_discs(make_card, rng):
    card = make_card(showers_per_run=100_000, view_cone="4 deg")
    primaries = draw(card, rng)
    pointing = np.array([-np.sin(np.deg2rad(20)), 0.0, np.cos(np.deg2rad(20))])
    separation = np.arccos(primaries.origin @ pointing)
    assert separation.max() <= np.deg2rad(4.0)
    assert np.mean(separation < np.deg2rad(2.0)) == pytest.approx(0.25, rel=0.03)
    assert np.mean(primaries.distance < 150) == pytest.approx(0.25, rel=0.03)
    across = np.linalg.norm(np.cross(primaries.core, primaries.origin), axis=1)
    np.testing.assert_allclose(across, primaries.distance, atol=1e-6)
