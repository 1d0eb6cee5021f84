"""Index files of a folder of DL3 files, by which Gammapy's `DataStore` finds them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from ctabatch.dl3.tables import gadf_cards
from ctabatch.errors import InputError
from ctabatch.files import replacing

HDU_INDEX, OBS_INDEX = "hdu-index.fits.gz", "obs-index.fits.gz"

#: HDUCLAS1, or HDUCLAS2 of a response -> HDU_TYPE of the index.
_TYPES = {
    "EVENTS": "events",
    "GTI": "gti",
    "POINTING": "pointing",
    "EFF_AREA": "aeff",
    "EDISP": "edisp",
    "RPSF": "psf",
    "PSF": "psf",
    "BKG": "bkg",
    "RAD_MAX": "rad_max",
}
_TIME_CARDS = ("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF")
_PLACE_CARDS = ("GEOLON", "GEOLAT", "ALTITUDE")
# column of obs-index: (format, unit, value where the file has none)
_OBSERVATION = {
    "OBS_ID": ("K", None, None),
    "RA_PNT": ("D", "deg", None),
    "DEC_PNT": ("D", "deg", None),
    "ALT_PNT": ("D", "deg", np.nan),
    "AZ_PNT": ("D", "deg", np.nan),
    "ZEN_PNT": ("D", "deg", np.nan),
    "ONTIME": ("D", "s", None),
    "LIVETIME": ("D", "s", None),
    "DEADC": ("D", None, None),
    "TSTART": ("D", "s", None),
    "TSTOP": ("D", "s", None),
    "DATE-OBS": ("10A", None, ""),
    "TIME-OBS": ("8A", None, ""),
    "DATE-END": ("10A", None, ""),
    "TIME-END": ("8A", None, ""),
    "OBJECT": ("68A", None, ""),
    "RA_OBJ": ("D", "deg", np.nan),
    "DEC_OBJ": ("D", "deg", np.nan),
    "N_TELS": ("K", None, -1),
    "TELESCOP": ("30A", None, ""),
    "INSTRUME": ("30A", None, ""),
    "EVENT_COUNT": ("K", None, None),
}


def write_index(paths: Sequence[Path], folder: Path) -> tuple[Path, Path]:
    """Write ``hdu-index.fits.gz`` and ``obs-index.fits.gz`` of DL3 files.

    Only headers are read, one file at a time.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        DL3 files that hold events and response, one observation each.
    folder : pathlib.Path
        Where the index goes; the files are named relative to it, so that the folder can move.

    Returns
    -------
    hdu_index, obs_index : pathlib.Path

    Raises
    ------
    ctabatch.errors.InputError
        A file is no DL3 file, has another reference time or site than the first, or an observation
        is there twice.
    """
    folder = Path(folder)
    hdu_rows, obs_rows, common = [], {}, None
    for path in sorted(map(Path, paths)):
        headers = _headers(path)
        events = next((h for h in headers if h.get("HDUCLAS1") == "EVENTS"), None)
        if events is None:
            raise InputError("has no events", str(path), "a DL3 file")
        row = _observation_row(events, path)
        if row["OBS_ID"] in obs_rows:
            raise InputError(f"is a second file of observation {row['OBS_ID']}", str(path))
        obs_rows[row["OBS_ID"]] = row
        cards = {key: events.get(key) for key in (*_TIME_CARDS, *_PLACE_CARDS)}
        if common is None:
            common = cards
        other = next((key for key in cards if cards[key] != common[key]), None)
        if other:
            raise InputError(
                f"has {other} = {cards[other]}, other files {common[other]}",
                str(path),
                "files of one site and reference time",
            )
        place = Path(os.path.relpath(path.resolve().parent, folder.resolve())).as_posix()
        hdu_rows += _hdu_rows(headers, row["OBS_ID"], place, path.name)
    if not hdu_rows:
        raise InputError("names no DL3 file", "dl3 index")
    hdu_path, obs_path = folder / HDU_INDEX, folder / OBS_INDEX
    formats = {"OBS_ID": ("K", None)} | {
        name: (f"{max(len(row[name]) for row in hdu_rows)}A", None)
        for name in ("HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
    }
    _write(hdu_rows, formats, "HDU_INDEX", {"HDUCLAS2": "HDU"}, hdu_path)
    formats = {name: entry[:2] for name, entry in _OBSERVATION.items()}
    cards = {key: value for key, value in common.items() if value is not None}
    _write(list(obs_rows.values()), formats, "OBS_INDEX", {"HDUCLAS2": "OBS"} | cards, obs_path)
    return hdu_path, obs_path


def _headers(path):
    try:
        with fits.open(path) as hdus:
            return [hdu.header for hdu in hdus]
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, EOFError, ValueError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"can't be read as FITS ({text})", str(path), "a DL3 file") from None


def _observation_row(header, path):
    row = {}
    for name, (form, _, default) in _OBSERVATION.items():
        source = {"EVENT_COUNT": "NAXIS2"}.get(name, name)
        value = header.get(source, default)
        if value is None:
            raise InputError(f"has no {source} in its events", str(path), "a DL3 file")
        row[name] = str(value) if form.endswith("A") else value
    row["OBS_ID"] = int(row["OBS_ID"])
    row["ZEN_PNT"] = 90 - row["ALT_PNT"]
    return row


def _hdu_rows(headers, obs_id, place, name):
    for header in headers:
        kind = header.get("HDUCLAS2") if header.get("HDUCLAS1") == "RESPONSE" else None
        kind = _TYPES.get(kind or header.get("HDUCLAS1"))
        if kind is None:
            continue
        # GADF names the classes of responses as HDUCLAS4 does, in small letters.
        yield {
            "OBS_ID": obs_id,
            "HDU_TYPE": kind,
            "HDU_CLASS": header.get("HDUCLAS4", kind).lower(),
            "FILE_DIR": place,
            "FILE_NAME": name,
            "HDU_NAME": header["EXTNAME"].strip(),
        }


def _write(rows, formats, name, cards, path):
    columns = [
        fits.Column(key, form, unit, array=np.array([row[key] for row in rows]))
        for key, (form, unit) in formats.items()
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    for key, value in (gadf_cards("INDEX") | cards).items():
        hdu.header[key] = value
    with replacing(path) as temporary:
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(temporary, overwrite=True, checksum=True)
