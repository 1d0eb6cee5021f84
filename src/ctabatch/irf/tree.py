"""Bounded merge trees: which file of which level holds which runs."""


def levels(files: int, width: int) -> list[int]:
    """Number of nodes on each level, from the one that reads the files up to the single top.

    Parameters
    ----------
    files : int
        Number of files to merge, at least one.
    width : int
        Most files that one node reads, at least two.

    Examples
    --------
    >>> levels(120, 50)
    [3, 1]
    """
    counts = [-(-files // width)]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // width))
    return counts


def children(node: int, below: int, width: int) -> range:
    """Indices, on the level below with `below` nodes (or files), that a node reads."""
    return range(node * width, min((node + 1) * width, below))
