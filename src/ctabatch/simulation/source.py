"""ctapipe event source that simulates the showers of a run card.

Used as ``ctapipe-process --input card.openiact.json --OpenIACTEventSource.run=17 ...``.
"""

import astropy.units as u
import numpy as np
from astropy.time import Time
from ctapipe.containers import (
    ArrayEventContainer,
    ArrayPointingContainer,
    CoordinateFrameType,
    DL1CameraContainer,
    EventIndexContainer,
    EventType,
    ObservationBlockContainer,
    ObservingMode,
    PointingMode,
    SchedulingBlockContainer,
    SchedulingBlockType,
    SimulatedCameraContainer,
    SimulatedEventContainer,
    SimulatedShowerContainer,
    SimulatedShowerDistribution,
    SimulationConfigContainer,
    TelescopeImpactParameterContainer,
    TelescopePointingContainer,
    TelescopeTriggerContainer,
    TriggerContainer,
)
from ctapipe.core.traits import Bool, Int
from ctapipe.io import DataLevel, EventSource

from ctabatch.simulation import DISCLAIMER, PRODUCER_ID
from ctabatch.simulation.atmosphere import ctapipe_profile
from ctabatch.simulation.card import CARD_SUFFIX, CARD_VERSION, RunCard
from ctabatch.simulation.instrument import make_subarray
from ctabatch.simulation.primaries import PRIMARY_IDS, altitude_azimuth, draw
from ctabatch.simulation.simulator import Simulator

#: Random streams of a run: primaries, and the showers of each batch from `SHOWER_STREAM` on.
PRIMARY_STREAM, SHOWER_STREAM = 0, 1
#: Showers simulated with one random stream.
BATCH = 5000
DEPTH = u.g / u.cm**2
#: Bins of the histogram of thrown showers.
ENERGY_BINS, DISTANCE_BINS = 60, 40


class OpenIACTEventSource(EventSource):
    """Simulate a run of a run card; gives images with peak times (DL1) of triggered showers."""

    run = Int(1, min=1, max=2**31 - 1, help="Run number; becomes the obs_id.").tag(config=True)
    true_images = Bool(
        False,
        help="Give true images too; ctapipe then parametrises them as well, which costs a third more.",
    ).tag(config=True)

    is_simulation = True
    datalevels = (DataLevel.DL1_IMAGES,)

    def __init__(self, input_url=None, config=None, parent=None, **kwargs):
        super().__init__(input_url=input_url, config=config, parent=parent, **kwargs)
        self.card = RunCard.read(self.input_url)
        allowed = set(self.allowed_tels) if self.allowed_tels else None
        self.simulator = Simulator(self.card, allowed)
        self._subarray = make_subarray(self.card, self.card.site.name)
        if allowed is not None:
            self._subarray = self._subarray.select_subarray(self.simulator.ids)
        self._profile = ctapipe_profile(self.simulator.air)
        self._altitude = 90 * u.deg - self.card.zenith
        self._pointing = (self._altitude.to(u.rad), self.card.azimuth.to(u.rad))
        self._primaries = draw(self.card, self._rng(PRIMARY_STREAM))
        self.metadata.update(
            is_simulation=True, producer=PRODUCER_ID, disclaimer=DISCLAIMER, card=self.card.digest()
        )
        self.log.warning(DISCLAIMER)

    def _rng(self, stream):
        return np.random.default_rng(self.card.seed(self.run, stream))

    @staticmethod
    def is_compatible(file_path):
        """Tell whether a file is a run card, by its name."""
        return str(file_path).endswith(CARD_SUFFIX)

    @property
    def subarray(self):
        """The array of the card, cut to the allowed telescopes."""
        return self._subarray

    @property
    def atmosphere_density_profile(self):
        """Density profile of the card's atmosphere."""
        return self._profile

    @property
    def observation_blocks(self):
        """The observation: one run, pointed at a fixed direction of the horizon frame."""
        return {
            self.run: ObservationBlockContainer(
                obs_id=np.uint64(self.run),
                sb_id=np.uint64(self.run),
                producer_id=PRODUCER_ID,
                subarray_pointing_lat=self._altitude,
                subarray_pointing_lon=self.card.azimuth,
                subarray_pointing_frame=CoordinateFrameType.ALTAZ,
            )
        }

    @property
    def scheduling_blocks(self):
        """The scheduling block of the run."""
        return {
            self.run: SchedulingBlockContainer(
                sb_id=np.uint64(self.run),
                sb_type=SchedulingBlockType.OBSERVATION,
                producer_id=PRODUCER_ID,
                observing_mode=ObservingMode.UNKNOWN,
                pointing_mode=PointingMode.DRIFT,
            )
        }

    @property
    def simulation_config(self):
        """How showers are thrown."""
        card = self.card
        north, down = card.site.magnetic_north, card.site.magnetic_down
        return {
            self.run: SimulationConfigContainer(
                run_number=self.run,
                detector_prog_id=0,
                shower_prog_id=0,
                corsika_version=0,
                simtel_version=CARD_VERSION,
                energy_range_min=card.energy_min,
                energy_range_max=card.energy_max,
                spectral_index=card.spectral_index,
                n_showers=card.showers_per_run,
                shower_reuse=1,
                max_alt=self._altitude,
                min_alt=self._altitude,
                max_az=card.azimuth,
                min_az=card.azimuth,
                diffuse=bool(card.view_cone > 0 * u.deg),
                max_viewcone_radius=card.view_cone,
                min_viewcone_radius=0 * u.deg,
                max_scatter_range=card.scatter_radius,
                min_scatter_range=0 * u.m,
                core_pos_mode=0,
                prod_site_alt=card.site.altitude,
                prod_site_B_total=np.hypot(north, down),
                prod_site_B_inclination=np.arctan2(down, north),
                prod_site_B_declination=0 * u.rad,
                corsika_wlen_min=250 * u.nm,
                corsika_wlen_max=700 * u.nm,
            )
        }

    @property
    def simulated_shower_distributions(self):
        """Thrown showers by distance of the core (first axis) and energy."""
        card = self.card
        energy = np.geomspace(
            card.energy_min.to_value("TeV"), card.energy_max.to_value("TeV"), ENERGY_BINS + 1
        )
        distance = np.linspace(0, card.scatter_radius.to_value("m"), DISTANCE_BINS + 1)
        inside = np.clip(self._primaries.energy, energy[0], energy[-1])
        histogram, _, _ = np.histogram2d(self._primaries.distance, inside, bins=[distance, energy])
        return {
            self.run: SimulatedShowerDistribution(
                obs_id=self.run,
                hist_id=6,
                n_entries=len(self._primaries),
                bins_energy=energy * u.TeV,
                bins_core_dist=distance * u.m,
                histogram=histogram,
            )
        }

    def _generator(self):
        total = len(self._primaries)
        count = 0
        for batch, start in enumerate(range(0, total, BATCH)):
            part = self._primaries[start : min(start + BATCH, total)]
            rng = self._rng(SHOWER_STREAM + batch)
            for event in self.simulator.run(part, rng):
                yield self._container(event, part, start + event.number, count)
                count += 1

    def _container(self, event, primaries, number, count):
        i = event.number
        altitude, azimuth = altitude_azimuth(primaries.origin[i])
        # Showers come a millisecond apart, so that every event has a time of its own.
        time = Time(60000 + self.run / 24, number * 1e-3 / 86400, format="mjd", scale="tai")
        pointing_alt, pointing_az = self._pointing
        tel_ids = sorted(event.cameras)
        shower = SimulatedShowerContainer(
            energy=u.Quantity(primaries.energy[i], u.TeV),
            alt=u.Quantity(np.rad2deg(altitude), u.deg),
            az=u.Quantity(np.rad2deg(azimuth), u.deg),
            core_x=u.Quantity(primaries.core[i, 0], u.m),
            core_y=u.Quantity(primaries.core[i, 1], u.m),
            h_first_int=u.Quantity(event.first_interaction, u.m),
            x_max=u.Quantity(event.depth_of_maximum, DEPTH),
            starting_grammage=u.Quantity(0.0, DEPTH),
            shower_primary_id=PRIMARY_IDS[primaries.particle],
        )
        container = ArrayEventContainer(
            count=count,
            index=EventIndexContainer(obs_id=self.run, event_id=number + 1),
            simulation=SimulatedEventContainer(shower=shower),
            trigger=TriggerContainer(
                time=time,
                tels_with_trigger=np.array(tel_ids, dtype=np.int16),
                event_type=EventType.SUBARRAY,
            ),
        )
        container.monitoring.pointing = ArrayPointingContainer(
            array_altitude=pointing_alt, array_azimuth=pointing_az
        )
        no_error = u.Quantity(0.0, u.m)
        for tel_id in tel_ids:
            camera = event.cameras[tel_id]
            container.trigger.tel[tel_id] = TelescopeTriggerContainer(
                time=time, event_type=EventType.SUBARRAY
            )
            container.monitoring.tel[tel_id].pointing = TelescopePointingContainer(
                altitude=pointing_alt, azimuth=pointing_az
            )
            container.simulation.tel[tel_id] = SimulatedCameraContainer(
                true_image_sum=int(camera.true_image.sum()),
                true_image=camera.true_image if self.true_images else None,
                impact=TelescopeImpactParameterContainer(
                    distance=u.Quantity(camera.impact, u.m),
                    distance_uncert=no_error,
                    prefix="true_impact",
                ),
            )
            container.dl1.tel[tel_id] = DL1CameraContainer(
                image=camera.image, peak_time=camera.peak_time, is_valid=True
            )
        return container
