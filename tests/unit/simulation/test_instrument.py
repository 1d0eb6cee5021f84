import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from ctapipe.coordinates import CameraFrame, TelescopeFrame
from scipy.spatial import cKDTree

from ctabatch.simulation.camera import make_camera
from ctabatch.simulation.instrument import MODELS, WAVELENGTHS, make_subarray, make_telescope
from ctabatch.simulation.photons import register
from ctabatch.simulation.primaries import altitude_azimuth, sky_axes, unit_vector
from ctabatch.simulation.subarrays import load_subarray
from require import require


@pytest.mark.parametrize(
    ("key", "pixels", "field"),
    [
        ("LST", 1855, 4.5),
        ("MST-NectarCam", 1855, 8.0),
        ("MST-FlashCam", 1764, 7.7),
        ("SST", 2048, 8.8),
    ],
)
def test_cameras_have_the_published_size(key, pixels, field):
    telescope = make_telescope(key)
    geometry = telescope.camera.geometry
    assert geometry.n_pixels == pixels
    focal_length = telescope.optics.effective_focal_length
    width = 2 * np.rad2deg((np.abs(geometry.pix_x).max() / focal_length).to_value(""))
    assert width == pytest.approx(field, rel=0.1)
    distance, _ = cKDTree(np.c_[geometry.pix_x, geometry.pix_y]).query(
        np.c_[geometry.pix_x, geometry.pix_y], k=2
    )
    assert distance[:, 1].min() == pytest.approx(MODELS[key].pitch, rel=1e-6)
    most = 6 if MODELS[key].hexagonal else 4
    neighbours = geometry.neighbor_matrix.sum(axis=1)
    assert neighbours.max() == most
    assert np.median(neighbours) == most
    assert neighbours.min() >= 2


@pytest.mark.parametrize("key", list(MODELS))
def test_efficiency_is_a_probability(key):
    efficiency = MODELS[key].efficiency()
    assert efficiency.shape == WAVELENGTHS.shape
    assert efficiency.min() >= 0
    assert 0.15 < efficiency.max() < 0.5


def test_ctapipe_takes_the_array():
    subarray = make_subarray(load_subarray("CTAO-South"))
    assert {str(t) for t in subarray.telescope_types} == {"MST_MST_FlashCam", "SST_SST_SSTCam"}
    assert subarray.reference_location.lat.deg == pytest.approx(-24.6834, abs=1e-3)


@pytest.mark.data
@pytest.mark.parametrize(("tel_id", "key"), [(1, "LST"), (5, "MST-NectarCam")])
def test_pixels_lie_where_the_observatory_has_them(tel_id, key):
    folder = os.environ.get("CTA_TEST_DATA", "")
    path = Path(folder) / "simtel" / "gamma_prod6_tel_event_header_v4.simtel.zst"
    require(folder and path.is_file(), f"CTA_TEST_DATA has no {path.name}")
    from ctapipe.io import SimTelEventSource

    with SimTelEventSource(path) as source:
        real = source.subarray.tel[tel_id]
    ours = make_telescope(key)
    here = np.c_[ours.camera.geometry.pix_x.value, ours.camera.geometry.pix_y.value]
    there = np.c_[real.camera.geometry.pix_x.value, real.camera.geometry.pix_y.value]
    distance, index = cKDTree(there).query(here)
    assert len(set(index)) == 1855
    assert distance.max() < 1e-4  # m
    for name in ("effective_focal_length", "mirror_area"):
        assert u.isclose(getattr(ours.optics, name), getattr(real.optics, name), rtol=0.01)


@pytest.mark.parametrize("key", list(MODELS))
def test_projection_agrees_with_the_frames_of_ctapipe(key, rng):
    camera = make_camera(MODELS[key])
    telescope = make_telescope(key)
    geometry = telescope.camera.geometry
    altitude, azimuth = np.deg2rad(70.0), np.deg2rad(137.0)
    view = np.stack([unit_vector(altitude, azimuth), *sky_axes(altitude, azimuth)])
    pointing = SkyCoord(alt=altitude * u.rad, az=azimuth * u.rad, frame="altaz")

    # From the centres of pixels to the sky by ctapipe, and back to pixels by the simulator.
    pixels = rng.choice(geometry.n_pixels, 40, replace=False)
    there = SkyCoord(
        geometry.pix_x[pixels],
        geometry.pix_y[pixels],
        frame=CameraFrame(
            focal_length=telescope.optics.effective_focal_length, telescope_pointing=pointing
        ),
    )
    sky = there.transform_to(TelescopeFrame(telescope_pointing=pointing)).transform_to("altaz")
    direction = unit_vector(sky.alt.rad, sky.az.rad)
    sharp = np.zeros(2)
    found = [register(*(view @ d), sharp, camera.lookup, camera.grid, rng) for d in direction]
    assert found == list(pixels)


def test_directions_and_angles_are_inverse(rng):
    altitude, azimuth = rng.uniform(0.2, 1.5, 50), rng.uniform(0, 2 * np.pi, 50)
    back = altitude_azimuth(unit_vector(altitude, azimuth))
    np.testing.assert_allclose(back, (altitude, azimuth), atol=1e-9)
