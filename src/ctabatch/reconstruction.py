"""Stereo reconstruction with ctapipe's `HillasReconstructor`, without its coordinate objects.

More than half of the time of ``ctapipe-process`` goes into the construction of astropy frames for two
points of every image. `FastHillasReconstructor` does the same rotations with arrays. The choice of
images, the direction from intersecting planes and the intersection of lines are ctapipe's own
functions; tests compare all results with the original's on simulated and on sim_telarray's events.
"""

import astropy.units as u
import numpy as np
from ctapipe.containers import (
    CameraHillasParametersContainer,
    ReconstructedGeometryContainer,
    TelescopeImpactParameterContainer,
)
from ctapipe.coordinates import impact_distance
from ctapipe.reco.hillas_reconstructor import (
    INVALID,
    HillasReconstructor,
    line_line_intersection_3d,
)
from ctapipe.reco.reconstructor import InvalidWidthException, TooFewTelescopesException

#: Results have the name of the original, so that configurations and files fit both.
NAME = "HillasReconstructor"
IMPACT_PREFIX = f"{NAME}_tel_{TelescopeImpactParameterContainer.default_prefix}"


def pointing_matrix(altitude, azimuth):
    """Make the rotations from the horizon frame to fields of view.

    Vectors of the horizon frame are (cos alt cos az, cos alt sin az, sin alt); those of a field of view
    have the pointing as first axis, then growing azimuth and growing altitude.

    Parameters
    ----------
    altitude, azimuth : array_like
        Pointings, rad, shape (...).

    Returns
    -------
    numpy.ndarray
        Rotations, shape (..., 3, 3); the transposed ones lead back.
    """
    sin_alt, cos_alt = np.sin(altitude), np.cos(altitude)
    sin_az, cos_az = np.sin(azimuth), np.cos(azimuth)
    zero = np.zeros_like(sin_alt)
    rows = [
        [cos_alt * cos_az, cos_alt * sin_az, sin_alt],
        [-sin_az, cos_az, zero],
        [-sin_alt * cos_az, -sin_alt * sin_az, cos_alt],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def tilted_matrix(altitude, azimuth):
    """Rotation from the ground frame to the plane across a direction (rad), as ctapipe defines it."""
    sin_alt, cos_alt = np.sin(altitude), np.cos(altitude)
    sin_az, cos_az = np.sin(azimuth), np.cos(azimuth)
    return np.array(
        [
            [sin_alt * cos_az, -sin_alt * sin_az, -cos_alt],
            [sin_az, cos_az, 0.0],
            [cos_alt * cos_az, -cos_alt * sin_az, sin_alt],
        ]
    )


def _unit_vector(lon, lat):
    cosine = np.cos(lat)
    return np.stack([cosine * np.cos(lon), cosine * np.sin(lon), np.sin(lat)], axis=-1)


class FastHillasReconstructor(HillasReconstructor):
    """Reconstruct direction, core and height of a shower, see `ctapipe.reco.HillasReconstructor`.

    Gives the original's numbers to rounding, under the original's name.
    """

    def __init__(self, subarray, atmosphere_profile=None, **kwargs):
        super().__init__(subarray=subarray, atmosphere_profile=atmosphere_profile, **kwargs)
        self._positions = subarray.tel_coords.cartesian.xyz.to_value(u.m).T
        self._height = subarray.reference_location.geodetic.height
        self._focal_length = {
            tel_id: telescope.camera.geometry.frame.focal_length.to_value(u.m)
            for tel_id, telescope in subarray.tel.items()
        }

    def __call__(self, event):
        """Reconstruct an event that has image parameters; fills its DL2 containers.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The event.
        """
        try:
            images = self._create_hillas_dict(event)
        except (TooFewTelescopesException, InvalidWidthException):
            event.dl2.stereo.geometry[NAME] = INVALID
            self._store_impact(event, np.full(len(self._positions), np.nan))
            return
        tel_ids = list(images)
        array = event.monitoring.pointing
        altitude, azimuth = (
            array.array_altitude.to_value(u.rad),
            array.array_azimuth.to_value(u.rad),
        )
        centre, ahead, weights = self._directions(event, images)
        psi = self._angles_in_array_frame(centre, ahead, altitude, azimuth)
        for tel_id, angle in zip(tel_ids, np.rad2deg(psi), strict=True):
            event.dl1.tel[tel_id].parameters.core.psi = u.Quantity(angle, u.deg)

        # The horizon frame counts azimuth clockwise: the y axis of the ground frame is the other way.
        flip = np.array([1.0, -1.0, 1.0])
        centre, ahead = centre * flip, ahead * flip
        direction, error = self.estimate_direction(np.cross(centre, ahead), weights)
        positions = self._positions[self.subarray.tel_index_array[tel_ids]]
        tilted, ground = self._core(altitude, azimuth, psi, positions)
        height = line_line_intersection_3d(centre, positions)[2]

        x, y, z = direction
        event.dl2.stereo.geometry[NAME] = ReconstructedGeometryContainer(
            alt=u.Quantity(np.arctan2(z, np.hypot(x, y)), u.rad),
            az=u.Quantity(np.arctan2(-y, x) % (2 * np.pi), u.rad),
            core_x=u.Quantity(ground[0], u.m),
            core_y=u.Quantity(ground[1], u.m),
            core_tilted_x=u.Quantity(tilted[0], u.m),
            core_tilted_y=u.Quantity(tilted[1], u.m),
            telescopes=tel_ids,
            average_intensity=np.mean([image.intensity for image in images.values()]),
            is_valid=True,
            alt_uncert=error,
            az_uncert=error,
            h_max=u.Quantity(height, u.m) + self._height,
            prefix=NAME,
        )
        self._store_impact(
            event, impact_distance(np.array([*ground[:2], 0.0]), direction, self._positions)
        )

    def _points(self, tel_id, image):
        """Centre of an image and a point on its main axis: two longitudes, two latitudes, rad."""
        psi = image.psi.to_value(u.rad)
        along, across = np.cos(psi), np.sin(psi)
        if isinstance(image, CameraHillasParametersContainer):
            x, y = image.x.to_value(u.m), image.y.to_value(u.m)
            step = 0.1 * self._cam_radius_m[tel_id]
            points = y, y + step * across, x, x + step * along
            return np.array(points) / self._focal_length[tel_id]
        lon, lat = image.fov_lon.to_value(u.deg), image.fov_lat.to_value(u.deg)
        step = 0.1 * self._cam_radius_deg[tel_id]
        return np.deg2rad([lon, lon + step * along, lat, lat + step * across])

    def _directions(self, event, images):
        """Directions of the points of all images in the horizon frame; weights of the images."""
        points, pointing = np.empty((4, len(images))), np.empty((2, len(images)))
        weights = np.empty(len(images))
        for i, (tel_id, image) in enumerate(images.items()):
            telescope = event.monitoring.tel[tel_id].pointing
            pointing[:, i] = telescope.altitude.to_value(u.rad), telescope.azimuth.to_value(u.rad)
            points[:, i] = self._points(tel_id, image)
            weights[i] = image.intensity * image.length.value / image.width.value
        vectors = _unit_vector(points[:2], points[2:])
        centre, ahead = np.einsum("nji,knj->kni", pointing_matrix(*pointing), vectors)
        return centre, ahead, weights

    @staticmethod
    def _angles_in_array_frame(centre, ahead, altitude, azimuth):
        """Orientations of the main axes in a camera that points where the array does, rad."""
        x, y, z = np.moveaxis([centre, ahead] @ pointing_matrix(altitude, azimuth).T, -1, 0)
        lon, lat = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
        return np.arctan((lon[0] - lon[1]) / (lat[0] - lat[1]))

    @staticmethod
    def _core(altitude, azimuth, psi, positions):
        """Core across the pointing and on the ground, m."""
        matrix = tilted_matrix(altitude, azimuth)
        axes = np.column_stack([np.cos(psi), np.sin(psi), np.zeros(len(psi))])
        tilted = line_line_intersection_3d(axes, positions @ matrix.T)
        ground = matrix[:2].T @ tilted[:2]
        return tilted, ground - matrix[2] * (ground[2] / matrix[2, 2])

    def _store_impact(self, event, distances):
        """Store the distances (m) of all telescopes from the axis for those that triggered."""
        for tel_id in event.trigger.tels_with_trigger:
            distance = distances[self.subarray.tel_indices[tel_id]]
            event.dl2.tel[tel_id].impact[NAME] = TelescopeImpactParameterContainer(
                distance=u.Quantity(distance, u.m), prefix=IMPACT_PREFIX
            )
