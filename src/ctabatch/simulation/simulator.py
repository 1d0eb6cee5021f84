"""Showers in, camera images out: the parts of the simulator put together."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ctabatch.simulation import cascade, engine, hadrons, light, photons
from ctabatch.simulation.atmosphere import make_air
from ctabatch.simulation.camera import make_camera
from ctabatch.simulation.instrument import MODELS
from ctabatch.simulation.muons import REACH
from ctabatch.simulation.primaries import Primaries, sky_axes, unit_vector

#: A camera needs at least this part of its trigger charge in true photo-electrons.
LEAST_LIGHT = 0.6
#: Showers are left out when the mean light of their gamma ray is below this part of the trigger charge
#: in all but one telescope. Of 20,000 thrown showers each, none that triggers is lost by it.
HOPE = {"gamma": 0.9, "electron": 0.9, "proton": 0.25}
#: Light further outside the field of view than this is not followed, rad.
FIELD_MARGIN = np.deg2rad(0.5)
#: Showers from further outside the field of view than this are left out, rad: images of several TeV
#: reach in from more than 2.5 deg.
DIRECTION_MARGIN = np.deg2rad(3.5)


@dataclass
class CameraImage:
    """What one camera records of a shower; all arrays of shape (pixels,)."""

    image: np.ndarray  #: charge, p.e.
    peak_time: np.ndarray  #: ns from the start of the readout
    true_image: np.ndarray  #: Cherenkov photo-electrons
    impact: float  #: distance of the telescope from the shower axis, m


@dataclass
class SimulatedEvent:
    """A shower that triggered the array."""

    number: int  #: index of the shower in the primaries
    first_interaction: float  #: height above sea level, m
    depth_of_maximum: float  #: slant depth of the largest number of particles, g/cm2
    cameras: dict = field(default_factory=dict)  #: tel_id -> CameraImage


class Simulator:
    """Simulates showers above an array.

    Parameters
    ----------
    card : ctabatch.simulation.card.RunCard
        Array, pointing, air and factors are used; the primaries are given to `run`.
    allowed : collection of int, optional
        Ids of the telescopes to simulate; all by default.
    """

    def __init__(self, card, allowed=None):
        self.card = card
        telescopes = [t for t in card.telescopes if allowed is None or t.id in allowed]
        self.ids = [t.id for t in telescopes]
        self.required = card.trigger_telescopes
        altitude = np.pi / 2 - card.zenith.to_value("rad")
        azimuth = card.azimuth.to_value("rad")
        self.view = np.stack([unit_vector(altitude, azimuth), *sky_axes(altitude, azimuth)])
        self.air = make_air(card.atmosphere, card.site.altitude.to_value("m"))
        site = card.site
        self._field = np.array(
            [site.magnetic_north.to_value("T"), 0.0, -site.magnetic_down.to_value("T")]
        )
        self.tables = light.make_tables(self.air)
        self._vertical = cascade.vertical_heights(self.air)
        kinds = sorted({t.type for t in telescopes})
        cosine = np.sin(altitude)
        self.cameras = [make_camera(MODELS[kind], card.nsb) for kind in kinds]
        self.detect = np.array([light.detection(self.air, MODELS[kind], cosine) for kind in kinds])
        self.kind = np.array([kinds.index(t.type) for t in telescopes])
        self.position = np.array(
            [[t.x.to_value("m"), t.y.to_value("m"), t.z.to_value("m")] for t in telescopes]
        )
        throughput = [
            card.optical_throughput * card.type_throughput.get(kind, 1.0) * card.energy_scale
            for kind in kinds
        ]
        self.factor = np.array(throughput)[self.kind]
        mirror = np.array([MODELS[kind].light_area for kind in kinds])[self.kind]
        self.area = mirror * self.factor
        charge = np.array([camera.model.trigger_charge for camera in self.cameras])[self.kind]
        self._charge, self._least = charge, LEAST_LIGHT * charge
        self.mirror_radius = np.sqrt(mirror / np.pi)
        fields = np.array([camera.field for camera in self.cameras])[self.kind]
        self.cos_field = np.cos(fields + FIELD_MARGIN)
        self.widest = fields.max()
        self._slices = np.zeros((photons.MAX_SLICES, 8))
        self._index = np.zeros((photons.MAX_SLICES, 2), np.int64)
        self._mean = np.zeros((len(self.ids), photons.MAX_SLICES), np.float32)
        bins = int(np.ceil(self.air.overburden[0] / np.cos(np.deg2rad(80)) / cascade.DEPTH_STEP))
        self._scratch = hadrons.make_scratch(bins)
        self._curves = self._light_curves()

    def _geometry(self, origin):
        """Frame along and across an axis, lengths by depth, cosine of zenith, number of slices."""
        x, y, z = origin
        size = np.hypot(x, z)
        across = np.array([-z / size, 0.0, x / size])
        other = np.array([y * x / size, -size, y * z / size])
        cosine = float(z)
        heights = cascade.axis_heights(self._vertical, self.air.overburden[0], cosine)
        bins = int(np.ceil((len(heights) - 1) / cascade.DEPTH_STEP))
        return np.array([across, other, origin]), heights, cosine, bins

    def _bend(self, frame):
        """Change of slope of a positron of 1 TeV along an axis, rad / m, by the Lorentz force."""
        # v x B with v = -frame[2], in the right-handed frame.
        return 0.299792458e-3 * np.array([frame[1] @ self._field, -(frame[0] @ self._field)])

    def _light_curves(self):
        """Mean photo-electrons by energy and distance from the axis for each kind of telescope.

        Showers come from the pointing; the field of view does not count. Used to leave out showers
        that can't trigger.
        """
        frame, heights, cosine, bins = self._geometry(self.view[0])
        energy = np.geomspace(1e-3, 1e3, 49)
        distance = np.concatenate([[0.0], np.geomspace(20, 3000, 36)])
        place = distance[:, None] * frame[0]
        open_field = np.full(len(distance), -1.0)
        mean = np.zeros((len(distance), photons.MAX_SLICES), np.float32)
        profile = np.zeros((1, bins))
        axes = np.zeros((1, 6))
        depth = (np.arange(bins) + 0.5) * cascade.DEPTH_STEP
        area = np.array([camera.model.light_area for camera in self.cameras])
        curves = np.zeros((len(self.cameras), len(energy), len(distance)))
        for i, value in enumerate(energy):
            profile[0] = [cascade.greisen(value, x) for x in depth]
            axes[0, 5] = depth[np.argmax(profile[0])]
            n = photons.slices_of(
                profile, axes, 1, np.zeros(3), frame, heights, cosine, self.tables.length,
                self._slices, self._index,
            )  # fmt: skip
            for kind in range(len(self.cameras)):
                curves[kind, i] = photons.expected(
                    self._slices, self._index, n, place, np.full(len(distance), area[kind]),
                    np.full(len(distance), kind), self.detect, self.view[0], open_field,
                    self.tables.intensity, mean,
                )  # fmt: skip
        # The largest light at this distance or farther: fluctuations move the Cherenkov ring.
        curves = np.maximum.accumulate(curves[:, :, ::-1], axis=2)[:, :, ::-1]
        return np.log(energy), distance, curves

    def impacts(self, primaries: Primaries):
        """Return the distances of all telescopes from the shower axes, m, shape (n, telescopes)."""
        apart = self.position[None, :, :] - primaries.core[:, None, :]
        along = np.einsum("ntk,nk->nt", apart, primaries.origin)
        square = np.einsum("ntk,ntk->nt", apart, apart) - along**2
        return np.sqrt(np.maximum(square, 0))

    def hopeful(self, primaries: Primaries, impacts):
        """Return the showers that may trigger.

        Parameters
        ----------
        primaries : Primaries
            Showers.
        impacts : numpy.ndarray
            Result of `impacts`.

        Returns
        -------
        numpy.ndarray
            Indices of the showers to be simulated in full.
        """
        log_energy, distance, curves = self._curves
        step = (np.log(primaries.energy) - log_energy[0]) / (log_energy[1] - log_energy[0])
        # The next larger energy and next smaller distance: never less light than expected.
        row = np.clip(np.ceil(step).astype(int), 0, len(log_energy) - 1)
        column = np.clip(np.searchsorted(distance, impacts) - 1, 0, len(distance) - 1)
        mean = curves[self.kind[None, :], row[:, None], column] * self.factor
        least = self._charge * HOPE[primaries.particle]
        enough = (mean > least).sum(axis=1) >= self.required
        seen = primaries.origin @ self.view[0] > np.cos(self.widest + DIRECTION_MARGIN)
        return np.flatnonzero(enough & seen)

    def run(self, primaries: Primaries, rng) -> Iterator[SimulatedEvent]:
        """Simulate showers; gives those that trigger, in order.

        Parameters
        ----------
        primaries : Primaries
            Showers.
        rng : numpy.random.Generator
            Source of random numbers.
        """
        impacts = self.impacts(primaries)
        for number in self.hopeful(primaries, impacts):
            event = self._shower(primaries, number, impacts[number], rng)
            if event is not None:
                yield event

    def _shower(self, primaries, number, impacts, rng):
        origin, core = primaries.origin[number], primaries.core[number]
        frame, heights, cosine, bins = self._geometry(origin)
        work = self._scratch
        profile = work.profile[:, :bins]
        n_axes, n_muons, n, first, total = engine.shower(
            cascade.CODES[primaries.particle], primaries.energy[number], heights, self._bend(frame),
            profile, work.axes, work.muons, core, frame, cosine, self.tables.length, self._slices,
            self._index, self.position, self.area, self.kind, self.detect, self.view[0],
            self.cos_field, self.tables.intensity, self._mean, rng,
        )  # fmt: skip
        candidate = total > self._least
        if n_muons:
            candidate |= impacts < REACH
        candidates = np.flatnonzero(candidate)
        cameras = {}
        # Brightest first: a shower is given up as soon as too few telescopes are left.
        for done, t in enumerate(candidates[np.argsort(-total[candidates])]):
            if len(cameras) + len(candidates) - done < self.required:
                return None
            image = self._camera(t, total[t], n, n_muons, core, frame, heights, cosine, rng)
            if image is not None:
                image.impact = float(impacts[t])
                cameras[self.ids[t]] = image
        if len(cameras) < self.required:
            return None
        summed = profile[:n_axes].sum(axis=0)
        depth = (np.argmax(summed) + 0.5) * cascade.DEPTH_STEP if n_axes else np.nan
        height = self.air.height_of(max(first * cosine, self.air.overburden[-1]))
        return SimulatedEvent(int(number), float(height), float(depth), cameras)

    def _camera(self, t, total, n, n_muons, core, frame, heights, cosine, rng):
        camera = self.cameras[self.kind[t]]
        count, time = np.zeros((2, camera.pixels))
        image, peak = np.empty((2, camera.pixels), np.float32)
        true = np.empty(camera.pixels, np.int32)
        triggered = engine.record(
            self._slices, self._index, n, self._mean[t], total, self.position[t], core, frame,
            self.tables.lateral, self.tables.moliere, self.view, camera.optics, camera.lookup,
            camera.grid, self._scratch.muons, n_muons, heights, cosine, self.mirror_radius[t],
            self.factor[t], self.detect[self.kind[t]], self.tables.refractivity, camera.neighbours,
            camera.settings, self._least[t], count, time, image, peak, true, rng,
        )  # fmt: skip
        return CameraImage(image, peak, true, 0.0) if triggered else None
