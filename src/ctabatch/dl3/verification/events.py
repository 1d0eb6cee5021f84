"""Checks of the events: ids, values, times, counts."""

import numpy as np

from ctabatch.checks import Failed
from ctabatch.dl3.times import to_seconds
from ctabatch.dl3.verification.subject import Subject

#: Times may leave an interval by this much: the resolution of a double in 2026, s.
RESOLUTION = 1e-6
#: Names of columns that must be finite, and which values they may have.
RANGES = {
    "RA": (-180.0, 360.0),  # some writers count from -180 deg
    "DEC": (-90.0, 90.0),
    "ENERGY": (np.nextafter(0, 1), np.inf),
}


def event_ids(subject: Subject):
    """No event is there twice."""
    ids = np.sort(subject.column("EVENT_ID"))
    double = np.unique(ids[1:][ids[1:] == ids[:-1]])
    if len(double):
        raise Failed(
            f"event {double[0]} is there twice, and {len(double) - 1} others",
            number=len(double),
            ids=double[:20],
        )
    return f"{len(ids)} different events", {"events": len(ids)}


def finite(subject: Subject):
    """Directions and energies are numbers within their range."""
    for name, (low, high) in RANGES.items():
        values = subject.column(name)
        bad = ~np.isfinite(values) | (values < low) | (values > high)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise Failed(
                f"{name} of event {subject.column('EVENT_ID')[first]} is {values[first]}, and "
                f"{bad.sum() - 1} others are wrong",
                number=int(bad.sum()),
            )
    return "directions and energies are finite and in range", {}


def monotonic(subject: Subject):
    """Events are in the order of their times."""
    time = subject.time
    if not np.isfinite(time).all():
        raise Failed("a time is not finite")
    back = np.flatnonzero(np.diff(time) < 0)
    if len(back):
        raise Failed(
            f"event {back[0] + 2} of the list is {time[back[0]] - time[back[0] + 1]:.6g} s before the "
            f"one in front of it, and {len(back) - 1} others",
            number=len(back),
        )
    return "times never go back", {}


def within_gti(subject: Subject):
    """Every event lies in a good time interval, and these lie between start and end."""
    gti, time = subject.gti, subject.time
    start, stop = subject.card("TSTART"), subject.card("TSTOP")
    if gti[0, 0] < start - RESOLUTION or gti[-1, 1] > stop + RESOLUTION:
        raise Failed(
            f"GTIs span {gti[0, 0]:.6f} to {gti[-1, 1]:.6f} s, the observation {start:.6f} to "
            f"{stop:.6f} s"
        )
    # The last interval that starts before an event is the only one that may hold it.
    row = np.searchsorted(gti[:, 0], time + RESOLUTION, side="right") - 1
    outside = (row < 0) | (time > gti[np.maximum(row, 0), 1] + RESOLUTION)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise Failed(
            f"event {subject.column('EVENT_ID')[first]} at {time[first]:.6f} s is in no GTI, and "
            f"{outside.sum() - 1} others",
            number=int(outside.sum()),
        )
    return f"{len(time)} events in {len(gti)} GTIs", {"gti": len(gti)}


def livetime(subject: Subject):
    """0 < livetime <= ontime = sum of the GTIs; DEADC is their ratio; DL0 says the same."""
    ontime, live = subject.card("ONTIME"), subject.card("LIVETIME")
    dead = subject.card("DEADC")
    total = float(np.diff(subject.gti, axis=1).sum())
    if abs(total - ontime) > 1e-3:
        raise Failed(f"ONTIME is {ontime:.6g} s, the GTIs last {total:.6g} s")
    if not 0 < live <= ontime:
        raise Failed(f"LIVETIME is {live:.6g} s, ONTIME {ontime:.6g} s")
    if abs(dead - live / ontime) > 1e-5:
        raise Failed(f"DEADC is {dead:.6g}, LIVETIME / ONTIME {live / ontime:.6g}")
    if subject.observation is not None:
        known = subject.observation
        for name, value, stated in (
            ("ONTIME", ontime, known.ontime),
            ("LIVETIME", live, known.livetime),
        ):
            if abs(value - stated) > 1e-3 * known.ontime:
                raise Failed(f"{name} is {value:.6g} s, DL0 says {stated:.6g} s")
    return f"live {live:.6g} s of {ontime:.6g} s", {"livetime_s": live, "ontime_s": ontime}


def event_count(subject: Subject):
    """Selected events are not more than triggers, and the triggers are those of DL0."""
    number, known = len(subject.time), subject.known()
    if number == 0:
        raise Failed("no event")
    if known.triggers is None:
        raise Failed("the metadata of the observation have no obs__triggers")
    read = subject.card("NTRIG", int)
    if read != known.triggers:
        raise Failed(f"made of {read} events, DL0 says {known.triggers} triggers")
    if number > read:
        raise Failed(f"{number} events were selected of {read} triggers")
    return f"{number} events of {read} triggers", {"events": number, "triggers": read}


def same_observation(subject: Subject):
    """Id, object, site, subarray and time are those of the observation."""
    known = subject.known()
    header = subject.header
    wanted = {
        "OBS_ID": known.obs_id,
        "OBJECT": known.object,
        "INSTRUME": known.site,
        "SUBARRAY": known.subarray,
    }
    for key, value in wanted.items():
        if header.get(key) != value:
            raise Failed(f"{key} is {header.get(key)!r}, DL0 says {value!r}")
    start, stop = to_seconds([known.start, known.end])
    for key, value in (("TSTART", start), ("TSTOP", stop)):
        if abs(subject.card(key) - value) > 1e-3:
            raise Failed(f"{key} is {subject.card(key):.3f} s, DL0 says {value:.3f} s")
    return f"observation {known.obs_id}, {known.object}", {}
