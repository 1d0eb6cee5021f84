"""The table that a search returns, the same from every back end."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def make_frame(
    files: Iterable[tuple[str, int, str, Mapping[str, Any]]],
    columns: Sequence[str] | None = None,
):
    """Make the table of found files.

    Parameters
    ----------
    files : iterable of tuple
        DID, size in bytes, adler32 and metadata of each file; a repeated DID counts once.
    columns : sequence of str, optional
        Metadata keys to show; all that occur, sorted, by default.

    Returns
    -------
    pandas.DataFrame
        Sorted by DID. Whole numbers stay whole where some files lack the key (type ``Int64``).
    """
    import pandas as pd

    rows = sorted({row[0]: row for row in files}.values(), key=lambda row: row[0])
    if columns is None:
        columns = sorted(set().union(*(row[3] for row in rows)))
    data = {
        "did": [row[0] for row in rows],
        "bytes": pd.array([row[1] for row in rows], dtype="int64"),
        "adler32": [row[2] for row in rows],
    }
    for key in columns:
        data[key] = _column(pd, [row[3].get(key) for row in rows])
    return pd.DataFrame(data)


def _column(pd, values: list):
    types = {type(value) for value in values}
    dtype = None
    if types == {int, type(None)} and all(-(2**63) <= v < 2**63 for v in values if v is not None):
        dtype = "Int64"
    elif types == {bool, type(None)}:
        dtype = "boolean"
    elif len(types - {type(None)}) != 1 or not types <= {int, float, str, bool, type(None)}:
        dtype = object
    return pd.Series(values, dtype=dtype)


def frame_records(frame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries of plain values; absent keys are left out.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `make_frame` makes it.

    Returns
    -------
    list of dict
    """
    import pandas as pd

    names = list(frame.columns)
    columns = [frame[name].astype(object).tolist() for name in names]
    return [
        {
            name: value
            for name, value in zip(names, row, strict=True)
            if isinstance(value, list) or not pd.isna(value)
        }
        for row in zip(*columns, strict=True)
    ]
