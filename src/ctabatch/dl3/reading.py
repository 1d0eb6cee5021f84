"""Read the selected events of an observation from DL2 files, a bounded number at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctabatch.dl3.times import to_seconds
from ctabatch.errors import BatchError, InputError
from ctabatch.sky import earth_orientation

#: Events read at once: about 100 MB with the tables that are joined.
CHUNK = 50_000

#: Columns of the events that are kept, and their types.
COLUMNS = {
    "event_id": np.int64,
    "time": float,  #: s since the reference time
    "ra": float,  #: deg, ICRS
    "dec": float,  #: deg, ICRS
    "energy": float,  #: TeV
    "alt": float,  #: deg
    "az": float,  #: deg
    "gammaness": float,
    "multiplicity": np.int16,
}


@dataclass(frozen=True)
class Events:
    """Selected events of an observation, in the order of their times.

    Parameters
    ----------
    columns : dict
        `COLUMNS` to arrays of shape (events,).
    triggers : int
        Events that the files hold.
    location : astropy.coordinates.EarthLocation
        Reference point of the array.
    tel_ids : tuple of int
        Telescopes of the array.
    """

    columns: dict
    triggers: int
    location: object
    tel_ids: tuple

    def __len__(self):
        return len(self.columns["time"])


def read_events(
    paths: Sequence[Path],
    selection,
    obs_id: int,
    *,
    chunk_size: int = CHUNK,
    progress: Callable | None = None,
) -> Events:
    """Read and select the events of an observation; directions become ICRS.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        DL2 files of the observation, one or one a chunk.
    selection : ctabatch.dl3.selection.Selection
        What is kept.
    obs_id : int
        Observation that the events must belong to.
    chunk_size : int
        Most events in memory at once, before selection.
    progress : callable, optional
        Called with events done, events in all, and the file's name.

    Returns
    -------
    Events

    Raises
    ------
    ctabatch.errors.InputError
        A file is no DL2 file, truncated, of another observation or array, or without a time of
        its events.
    ctabatch.errors.BatchError
        An event is there twice.
    """
    parts = {name: [] for name in COLUMNS}
    triggers, array, ids = 0, None, []
    for path in map(Path, paths):
        with _open(path) as loader:
            array = _same_array(array, loader.subarray, path)
            total = len(loader)
            for _, stop, events in _chunks(loader, chunk_size, path):
                triggers += len(events)
                wrong = np.unique(np.asarray(events["obs_id"]))
                if len(events) and (len(wrong) > 1 or wrong[0] != obs_id):
                    other = next(int(i) for i in wrong if i != obs_id)
                    raise InputError(f"has events of observation {other}, not {obs_id}", str(path))
                ids.append(np.asarray(events["event_id"], np.int64))
                try:
                    selected = selection.apply(events)
                except InputError as error:
                    raise InputError(error.message, str(path), error.allowed) from None
                for name, values in _columns(selected, array.reference_location).items():
                    parts[name].append(values)
                if progress is not None:
                    progress(stop, total, path.name)
    if array is None:
        raise InputError("names no DL2 file", "--events")
    _no_event_twice(np.concatenate(ids) if ids else np.empty(0, np.int64), paths)
    columns = {
        name: np.concatenate(values).astype(COLUMNS[name]) if values else np.empty(0, COLUMNS[name])
        for name, values in parts.items()
    }
    order = np.argsort(columns["time"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    location = array.reference_location
    return Events(columns, triggers, location, tuple(int(i) for i in array.tel_ids))


def _open(path):
    from ctapipe.io import TableLoader
    from tables import HDF5ExtError, NoSuchNodeError

    if not path.is_file():
        raise InputError("no such file", str(path))
    try:
        return TableLoader(path)
    except (HDF5ExtError, NoSuchNodeError, OSError, KeyError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path, error):
    text = " ".join(str(error).split())[-200:] or type(error).__name__
    return InputError(
        f"can't be read as DL2 events ({text})", str(path), "a complete DL2 file of ctapipe"
    )


def _chunks(loader, size, path):
    """Iterate over the chunks of a file; a damaged file becomes a clear error."""
    from tables import HDF5ExtError, NoSuchNodeError

    try:
        yield from loader.read_subarray_events_chunked(
            size, dl2=True, simulated=False, observation_info=False
        )
    except (HDF5ExtError, NoSuchNodeError, OSError) as error:
        raise _unreadable(path, error) from None


def _same_array(known, found, path):
    if known is None:
        return found
    if tuple(known.tel_ids) != tuple(found.tel_ids):
        raise InputError("was taken with another array than the files before it", str(path))
    return known


def _columns(events, location):
    """Take the columns of selected events, with directions in ICRS."""
    import astropy.units as u
    from astropy.coordinates import AltAz, SkyCoord

    time = events["time"]
    with earth_orientation():
        if len(events):
            frame = AltAz(obstime=time, location=location)
            icrs = SkyCoord(alt=events["reco_alt"], az=events["reco_az"], frame=frame).icrs
            ra, dec = icrs.ra.deg, icrs.dec.deg
            seconds = to_seconds(time)
        else:
            ra = dec = seconds = np.empty(0)
    return {
        "event_id": np.asarray(events["event_id"], np.int64),
        "time": seconds,
        "ra": ra,
        "dec": dec,
        "energy": events["reco_energy"].to_value(u.TeV),
        "alt": events["reco_alt"].to_value(u.deg),
        "az": events["reco_az"].to_value(u.deg) % 360,
        "gammaness": np.asarray(events["gh_score"], float),
        "multiplicity": np.asarray(events["multiplicity"]),
    }


def _no_event_twice(ids, paths):
    ids = np.sort(ids)
    double = ids[1:][ids[1:] == ids[:-1]]
    if len(double):
        raise BatchError(
            f"event {double[0]} is there twice in {', '.join(Path(path).name for path in paths)}",
            "give each chunk of the observation once",
        )
