"""Simulated observations: a point source over cosmic rays, seen by telescopes that track.

Unlike the samples of a production, what arrives here is drawn from physical spectra and in time, so
that events carry no weights: numbers from a Poisson distribution with flux x time x area (x solid
angle), times evenly over the observation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time

from ctabatch.conditions.lookup import Conditions, lookup_atmosphere, lookup_conditions
from ctabatch.config.base import canonical
from ctabatch.config.model import Configuration
from ctabatch.config.observation import ObservationSettings
from ctabatch.errors import BatchError, InputError
from ctabatch.identity import digest
from ctabatch.irf.cards import type_throughput
from ctabatch.simulation.card import CARD_VERSION, RunCard
from ctabatch.simulation.primaries import Primaries, draw_cores, sky_axes, unit_vector
from ctabatch.simulation.simulator import SimulatedEvent, Simulator
from ctabatch.simulation.spectra import BACKGROUND, Arrivals, source_flux
from ctabatch.simulation.subarrays import Layout, load_subarray
from ctabatch.sky import Track

#: Largest zenith angle that the simulator can do, deg.
MOST_ZENITH = 60.0
#: Event ids of a chunk start at its number, from 0, times this.
IDS_A_CHUNK = 10_000_000
#: Random streams of a chunk: one for the arrival of each particle, then one for the showers.
STREAMS = ("gamma", "proton", "electron", "showers")


@dataclass(frozen=True)
class Chunk:
    """Span of an observation that becomes one DL0 file."""

    obs_id: int
    number: int  #: from 1
    of: int  #: chunks of the observation
    start: datetime
    end: datetime
    ra: float  #: pointing, ICRS, deg
    dec: float  #: pointing, ICRS, deg

    @property
    def seconds(self) -> float:
        """Length in s."""
        return (self.end - self.start).total_seconds()


@dataclass
class Counts:
    """What happened in a chunk, by particle."""

    arrived: dict = field(default_factory=dict)  #: drawn
    stored: dict = field(default_factory=dict)  #: triggered and stored
    lost: int = 0  #: triggered while the array was dead


@dataclass(frozen=True)
class Plan:
    """Everything that simulated observations depend on."""

    config: Configuration
    settings: ObservationSettings
    layout: Layout  #: only the telescopes that are available
    conditions: Conditions

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that changes the events; the same digest gives the same files."""
        return digest(
            {
                "observation": canonical(self.settings),
                "layout": canonical(self.layout),
                "conditions": canonical(self.conditions),
                "atmosphere": canonical(self.atmosphere),
                "version": CARD_VERSION,
            }
        )

    @cached_property
    def atmosphere(self):
        """Parameters of the atmosphere."""
        return lookup_atmosphere(self.config.conditions, self.conditions.atmosphere)

    @cached_property
    def location(self) -> EarthLocation:
        """Reference point of the array."""
        site = self.layout.site
        return EarthLocation.from_geodetic(
            lon=site.longitude, lat=site.latitude, height=site.altitude
        )

    def chunks(self) -> list[Chunk]:
        """List the DL0 files of all observations, in time."""
        settings = self.settings
        target = SkyCoord(settings.target.ra, settings.target.dec)
        found = []
        begin = datetime.fromisoformat(settings.start).replace(tzinfo=UTC)
        length, step = (getattr(settings, n).to_value("s") for n in ("duration", "chunk"))
        number = int(np.ceil(length / step))
        for i in range(settings.observations):
            angle = settings.wobble_angles[i % len(settings.wobble_angles)]
            pointing = target.directional_offset_by(angle, settings.wobble)
            for k in range(number):
                start = begin + timedelta(seconds=k * step)
                end = begin + timedelta(seconds=min((k + 1) * step, length))
                ra, dec = float(pointing.ra.deg), float(pointing.dec.deg)
                found.append(Chunk(settings.obs_id + i, k + 1, number, start, end, ra, dec))
            begin += timedelta(seconds=length + settings.pause.to_value("s"))
        return found

    def card(self, altitude: float, azimuth: float) -> RunCard:
        """Make the run card of the array; what it throws does not count (altitude, azimuth in rad)."""
        gamma = self.settings.particles.gamma
        return RunCard(
            sample="observation",
            particle="gamma",
            energy_min=gamma.energy_min,
            energy_max=gamma.energy_max,
            scatter_radius=gamma.scatter_radius,
            showers_per_run=1,
            zenith=np.rad2deg(np.pi / 2 - altitude) * u.deg,
            azimuth=np.rad2deg(azimuth) * u.deg,
            site=self.layout.site,
            telescopes=self.layout.telescopes,
            atmosphere=self.atmosphere,
            nsb=self.conditions.nsb[self.settings.nsb],
            type_throughput=type_throughput(self.conditions, self.layout),
        )


def plan_observations(config: Configuration, where: str = "configuration") -> Plan:
    """Look up everything that the observations of a configuration depend on.

    Raises
    ------
    ctabatch.errors.InputError
        No section ``observation``, an unknown subarray, no conditions for the time, or a source that is
        too low.
    """
    settings = config.section("observation", where)
    layout = load_subarray(settings.subarray)
    if layout.site.name != settings.site:
        raise InputError(
            f"subarray {settings.subarray!r} stands at {layout.site.name}, not at {settings.site}",
            f"{where}: observation.subarray",
        )
    start = datetime.fromisoformat(settings.start)
    length = settings.observations * (settings.duration + settings.pause).to_value("s")
    period = f"{start.isoformat()}/{(start + timedelta(seconds=length)).isoformat()}"
    conditions = lookup_conditions(
        config.conditions, settings.site, period, config.conditions.version, where="observation"
    )
    if settings.nsb not in conditions.nsb:
        raise InputError(
            f"the conditions of {period} have no NSB level {settings.nsb!r}",
            f"{where}: observation.nsb",
            ", ".join(sorted(conditions.nsb)),
        )
    away = set(conditions.telescopes_unavailable)
    layout = layout.select([t.id for t in layout.telescopes if t.id not in away])
    plan = Plan(config, settings, layout, conditions)
    for chunk in plan.chunks():
        zenith = 90 - np.rad2deg(_track(plan, chunk).mean()[0])
        if zenith > MOST_ZENITH:
            raise InputError(
                f"the pointing is at a zenith angle of {zenith:.1f} deg at {chunk.start:%FT%T}",
                f"{where}: observation.start",
                f"a time and target with at most {MOST_ZENITH:g} deg",
            )
    return plan


def _track(plan, chunk, ra=None, dec=None):
    start = Time(chunk.start.replace(tzinfo=None), scale="utc")
    position = (chunk.ra, chunk.dec) if ra is None else (ra, dec)
    return Track(*position, plan.location, start, chunk.seconds)


class ChunkSimulation:
    """Events of one chunk, in time.

    Parameters
    ----------
    plan : Plan
        What is observed.
    chunk : Chunk
        Which part of it.
    """

    def __init__(self, plan: Plan, chunk: Chunk):
        self.plan, self.chunk = plan, chunk
        self.pointing = _track(plan, chunk)
        target = plan.settings.target
        self.source = _track(plan, chunk, target.ra.to_value("deg"), target.dec.to_value("deg"))
        self.counts = Counts()
        self.card = plan.card(*self.pointing.mean())
        self.simulator = Simulator(self.card)

    def rng(self, stream: str):
        """Random numbers of one stream of the chunk."""
        content = bytes.fromhex(self.plan.digest)
        words = [int.from_bytes(content[i : i + 4], "big") for i in range(0, 32, 4)]
        chunk = self.chunk
        return np.random.default_rng([*words, chunk.obs_id, chunk.number, STREAMS.index(stream)])

    def arrivals(self, particle: str) -> tuple[Primaries, np.ndarray]:
        """Draw the particles of one kind that arrive; returns them and their times (s)."""
        thrown = getattr(self.plan.settings.particles, particle)
        rng = self.rng(particle)
        area = np.pi * thrown.scatter_radius.to_value("m") ** 2
        if particle == "gamma":
            flux, unit, solid = source_flux(self.plan.settings.spectrum), "m-2 s-1", 1.0
        else:
            cone = thrown.view_cone.to_value("rad")
            flux, unit, solid = BACKGROUND[particle], "m-2 s-1 sr-1", 2 * np.pi * (1 - np.cos(cone))
        arrivals = Arrivals(flux, thrown.energy_min, thrown.energy_max, unit)
        number = rng.poisson(arrivals.integral * area * solid * self.chunk.seconds)
        times = np.sort(rng.uniform(0, self.chunk.seconds, number))
        energy = arrivals.draw(rng, number)
        if particle == "gamma":
            origin = unit_vector(*self.source.at(times))
        else:
            origin = _around(rng, self.pointing.at(times), cone)
        core, distance = draw_cores(rng, origin, thrown.scatter_radius.to_value("m"))
        self.counts.arrived[particle] = int(number)
        self.counts.stored[particle] = 0
        return Primaries(particle, energy, origin, core, distance), times

    def run(self) -> Iterator[tuple[float, str, SimulatedEvent]]:
        """Simulate the chunk.

        Yields
        ------
        time : float
            From the start of the chunk, s.
        particle : str
            Truth.
        event : SimulatedEvent
            What the cameras record. Events in the dead time after another are left out.
        """
        simulator, settings = self.simulator, self.plan.settings
        present = [p for p in ("gamma", "proton", "electron") if getattr(settings.particles, p)]
        drawn, candidates = {}, []
        for particle in present:
            primaries, times = self.arrivals(particle)
            hopeful = simulator.hopeful(primaries, simulator.impacts(primaries))
            # Only these are kept; protons are many.
            drawn[particle] = primaries[hopeful], times[hopeful]
            candidates += [(time, particle, i) for i, time in enumerate(times[hopeful])]
        rng = self.rng("showers")
        dead = settings.dead_time.to_value("s")
        last = -np.inf
        for time, particle, i in sorted(candidates):
            altitude, azimuth = self.pointing.at(time)
            simulator.view = np.stack(
                [unit_vector(altitude, azimuth), *sky_axes(altitude, azimuth)]
            )
            for event in simulator.run(drawn[particle][0][i : i + 1], rng):
                if time - last < dead:
                    self.counts.lost += 1
                    continue
                last = time
                self.counts.stored[particle] += 1
                yield float(time), particle, event
        if sum(self.counts.stored.values()) >= IDS_A_CHUNK:
            raise BatchError("a chunk has too many events", "make observation.chunk shorter")


def _around(rng, pointing, cone):
    """Draw directions evenly within `cone` (rad) of pointings that move; shape (n, 3)."""
    altitude, azimuth = pointing
    growing_azimuth, growing_altitude = (axes.T for axes in sky_axes_of(altitude, azimuth))
    cosine = 1 - (1 - np.cos(cone)) * rng.random(len(altitude))
    angle = 2 * np.pi * rng.random(len(altitude))
    sine = np.sqrt(1 - cosine**2)
    aside = np.cos(angle)[:, None] * growing_altitude + np.sin(angle)[:, None] * growing_azimuth
    return cosine[:, None] * unit_vector(altitude, azimuth) + sine[:, None] * aside


def sky_axes_of(altitude, azimuth):
    """Like `sky_axes` for arrays of shape (n,); both results have shape (3, n)."""
    growing_azimuth = np.array([-np.sin(azimuth), -np.cos(azimuth), np.zeros_like(azimuth)])
    growing_altitude = np.array(
        [
            -np.sin(altitude) * np.cos(azimuth),
            np.sin(altitude) * np.sin(azimuth),
            np.cos(altitude),
        ]
    )
    return growing_azimuth, growing_altitude
