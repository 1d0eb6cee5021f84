"""Selection efficiencies from which the number of events is estimated.

Two sources: the *pilot*, a table of effective areas after cuts which earlier productions of the open
simulator gave (``config/pilot/<subarray>.ecsv``), or the IRF file that the request names.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctabatch.config.irf import IRFRequest
from ctabatch.errors import InputError

#: Folders of the pilot tables, first wins.
PILOT_FOLDERS = (
    Path("config") / "pilot",
    Path(__file__).resolve().parents[3] / "config" / "pilot",
)

#: Names of the effective-area HDUs that ``ctapipe-compute-irf`` writes, by particle.
HDU_NAMES = {
    "gamma": "EFFECTIVE AREA",
    "proton": "EFFECTIVE AREA PROTONS",
    "electron": "EFFECTIVE AREA ELECTRONS",
}


@dataclass(frozen=True)
class EfficiencyTable:
    """Effective areas after cuts, by particle."""

    source: str  #: where it comes from, for people
    identity: str  #: what the identity of a request takes of it
    energy: np.ndarray = field(repr=False)  #: edges in TeV, shape (n + 1,)
    offset: np.ndarray = field(repr=False)  #: edges in deg, shape (m + 1,)
    area: dict[str, np.ndarray] = field(repr=False)  #: particle -> m2, shape (m, n)

    def effective_area(self, particle: str, energy, offset) -> np.ndarray:
        """Interpolate the effective area in log energy, at the nearest offset bin.

        Parameters
        ----------
        particle : str
            ``gamma``, ``proton`` or ``electron``.
        energy : array_like
            True energies in TeV, shape (k,).
        offset : float
            Offset in deg.

        Returns
        -------
        numpy.ndarray
            Effective area in m2, shape (k,); 0 outside the table.
        """
        centres = np.sqrt(self.energy[1:] * self.energy[:-1])
        row = int(
            np.clip(np.searchsorted(self.offset, offset, "right") - 1, 0, len(self.offset) - 2)
        )
        values = self.area[particle][row]
        known = values > 0
        if not known.any():
            return np.zeros(np.shape(energy))
        logs = np.interp(
            np.log(energy),
            np.log(centres[known]),
            np.log(values[known]),
            left=-np.inf,
            right=-np.inf,
        )
        return np.exp(logs)


def load_efficiency(request: IRFRequest, where: str = "configuration") -> EfficiencyTable:
    """Load the efficiencies that a request names.

    Raises
    ------
    ctabatch.errors.InputError
        No pilot table for the subarray, or the reference is not an IRF in FITS.
    """
    reference = request.precision.reference
    key = f"{where}: irf.precision.reference"
    if reference == "pilot":
        return _load_pilot(request, key)
    return read_effective_areas(Path(reference), key)


def read_effective_areas(path: Path, where: str) -> EfficiencyTable:
    """Read the effective areas of an IRF file, HDUs found by name."""
    from astropy.io import fits

    try:
        content = path.read_bytes()
        area = {}
        with fits.open(path) as hdus:
            for particle, name in HDU_NAMES.items():
                if name in hdus:
                    table = hdus[name].data
                    area[particle] = np.asarray(table["EFFAREA"][0], float)
                    if particle == "gamma":
                        energy = np.append(table["ENERG_LO"][0], table["ENERG_HI"][0][-1])
                        offset = np.append(table["THETA_LO"][0], table["THETA_HI"][0][-1])
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", where, "'pilot' or the path of an IRF") from None
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not an IRF in FITS: {str(error).splitlines()[0]}",
            where,
            "'pilot' or the path of an IRF",
        ) from None
    if "gamma" not in area:
        raise InputError(f"{path} has no HDU 'EFFECTIVE AREA'", where, "an IRF in GADF format")
    return EfficiencyTable(
        source=str(path),
        identity=hashlib.sha256(content).hexdigest(),
        energy=energy.astype(float),
        offset=offset.astype(float),
        area=area,
    )


def _load_pilot(request: IRFRequest, where: str) -> EfficiencyTable:
    path = next((p for f in PILOT_FOLDERS if (p := f / f"{request.subarray}.ecsv").is_file()), None)
    if path is None:
        known = sorted({p.stem for f in PILOT_FOLDERS for p in f.glob("*.ecsv")})
        raise InputError(
            f"there is no pilot table for subarray {request.subarray!r}",
            where,
            f"the path of an IRF of this subarray, or one of the subarrays {', '.join(known)}",
        )
    table = read_pilot(path)
    return scale_to_zenith(
        table, pilot_zenith(path), request.pointing.zenith.to_value("deg"), "pilot"
    )


def read_pilot(path: Path) -> EfficiencyTable:
    """Read a pilot table, see `write_pilot`."""
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    offset = np.unique(np.append(table["offset_min"], table["offset_max"]))
    energy = np.unique(np.append(table["energy_min"], table["energy_max"]))
    shape = (len(offset) - 1, len(energy) - 1)
    return EfficiencyTable(
        source=f"pilot {path.stem}",
        identity="pilot",
        energy=energy,
        offset=offset,
        area={name: np.asarray(table[f"area_{name}"], float).reshape(shape) for name in HDU_NAMES},
    )


def pilot_zenith(path: Path) -> float:
    """Zenith angle, in deg, of the production that a pilot table comes from."""
    from astropy.table import Table

    return float(Table.read(path, format="ascii.ecsv").meta["zenith_deg"])


def write_pilot(irf: Path, path: Path, zenith: float, made_by: str) -> None:
    """Make a pilot table of an IRF of the open simulator.

    Parameters
    ----------
    irf : pathlib.Path
        Output of ``ctapipe-compute-irf``, with gamma, proton and electron effective areas.
    path : pathlib.Path
        ECSV file to write.
    zenith : float
        Zenith angle of the production in deg.
    made_by : str
        How the IRF was made, kept in the table.
    """
    from astropy.table import QTable

    from ctabatch.files import replacing

    table = read_effective_areas(irf, str(irf))
    missing = set(HDU_NAMES) - set(table.area)
    if missing:
        raise InputError(f"has no effective area of {', '.join(sorted(missing))}", str(irf))
    offsets, energies = len(table.offset) - 1, len(table.energy) - 1
    rows = QTable(
        {
            "offset_min": np.repeat(table.offset[:-1], energies),
            "offset_max": np.repeat(table.offset[1:], energies),
            "energy_min": np.tile(table.energy[:-1], offsets),
            "energy_max": np.tile(table.energy[1:], offsets),
            **{f"area_{name}": _smooth(table, name).ravel() for name in HDU_NAMES},
        },
        meta={"zenith_deg": zenith, "made_by": made_by, "simulator": "openiact (approximate)"},
    )
    for name, unit in (("offset", "deg"), ("energy", "TeV")):
        for edge in ("min", "max"):
            rows[f"{name}_{edge}"].info.format = "%.5g"
            rows[f"{name}_{edge}"].unit = unit
    for name in HDU_NAMES:
        rows[f"area_{name}"].info.format = "%.4g"
        rows[f"area_{name}"].unit = "m2"
    with replacing(path) as temporary:
        rows.write(temporary, format="ascii.ecsv", overwrite=True)


def _smooth(table: EfficiencyTable, particle: str) -> np.ndarray:
    """Effective areas without NaN (bins outside of the thrown energies); those of protons smoothed.

    A few protons in a hundred thousand pass the cuts: their area is averaged over the offset rings, by
    solid angle, and over half a decade to both sides, by the width of bins in log energy.
    """
    area = np.nan_to_num(table.area[particle])
    if particle != "proton":
        return area
    mean = np.average(area, axis=0, weights=np.diff(-np.cos(np.radians(table.offset))))
    centre, width = (
        np.log10(table.energy[1:] * table.energy[:-1]) / 2,
        np.diff(np.log(table.energy)),
    )
    near = (np.abs(centre[:, None] - centre) < 0.5) * width
    return np.tile(near @ mean / near.sum(axis=1), (len(area), 1))


def scale_to_zenith(
    table: EfficiencyTable, zenith: float, wanted: float, identity: str
) -> EfficiencyTable:
    """Scale effective areas to another zenith angle (deg).

    The distance to the shower maximum grows as 1 / cos z: the light pool's area as cos^-2 z, and
    with it the energy at which a given light density is reached. A rule of thumb, good for
    estimating numbers of events only.
    """
    if abs(zenith - wanted) < 0.5:
        return table
    stretch = (np.cos(np.radians(zenith)) / np.cos(np.radians(wanted))) ** 2
    return EfficiencyTable(
        source=f"{table.source}, scaled from {zenith:g} to {wanted:g} deg zenith",
        identity=identity,
        energy=table.energy * stretch,
        offset=table.offset,
        area={name: values * stretch for name, values in table.area.items()},
    )
