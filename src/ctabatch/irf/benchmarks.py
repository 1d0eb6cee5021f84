"""Read the benchmarks file that ``ctapipe-compute-irf`` writes beside an IRF."""

import numpy as np

from ctabatch.errors import InputError


def read_benchmark(path, extension, columns):
    """Read a table of the benchmarks file of ``ctapipe-compute-irf``.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    extension : str
        Name of the HDU.
    columns : tuple of str
        Columns to read.

    Returns
    -------
    dict
        ``ENERG`` (TeV) and ``THETA`` (deg) edges, and each column with shape (energy, offset).

    Raises
    ------
    ctabatch.errors.InputError
        The file can't be read, or lacks the table or a column.
    """
    from astropy.table import QTable

    try:
        table = QTable.read(path, hdu=extension, format="fits")
        result = {
            axis: np.append(
                table[f"{axis}_LO"][0].to_value(unit), table[f"{axis}_HI"][0].to_value(unit)[-1]
            )
            for axis, unit in (("ENERG", "TeV"), ("THETA", "deg"))
        }
        for name in columns:
            result[name] = np.asarray(table[name][0], dtype=float).T
    except FileNotFoundError:
        raise InputError("no such file", str(path), "the benchmarks file of the IRF") from None
    except (OSError, EOFError, KeyError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"has no table {extension!r} with columns {', '.join(columns)} ({reason})", str(path)
        ) from None
    return result
