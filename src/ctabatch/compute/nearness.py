"""Nearness of data: which share of the files has a copy near to a resource."""

from collections import defaultdict

from ctabatch.compute.resource import Resource
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError
from ctabatch.lake.open import open_lake


def near_fractions(
    config: Configuration, query: str, resources: list[Resource]
) -> tuple[dict[str, float], list[str]]:
    """Compute the share of the data, by bytes, with a copy near to each resource.

    Copies on tape count, too: they are staged where they are.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The lake, and the map ``compute.rse_sites``.
    query : str
        Query of the data lake.
    resources : list of ctabatch.compute.resource.Resource
        Whose nearness is wanted.

    Returns
    -------
    fractions : dict
        Name of the resource -> 0 to 1.
    notes : list of str
        Storage elements that the map does not know.
    """
    lake = open_lake(config.lake)
    found = lake.search(query, columns=[])
    if found.empty:
        raise InputError(
            f"no file of the lake matches {query!r}", "near", "a query that finds files"
        )
    sizes = dict(zip(found["did"], found["bytes"], strict=True))
    holders: dict[str, set[str]] = defaultdict(set)
    for replica in lake.replicas(list(sizes)):
        holders[replica.rse].add(replica.did)
    fractions, notes, total = {}, [], max(1, sum(sizes.values()))
    near = {rse: set(_near(config, rse, resources)) for rse in holders}
    for resource in resources:
        dids = set().union(*(holders[rse] for rse in holders if resource.name in near[rse]))
        fractions[resource.name] = round(float(sum(sizes[did] for did in dids)) / total, 4)
    for rse in sorted(holders):
        if rse not in config.compute.rse_sites and not near[rse]:
            notes.append(
                f"compute.rse_sites does not say what is near to the storage element {rse}"
            )
    return fractions, notes


def _near(config: Configuration, rse: str, resources: list[Resource]):
    """Names of the resources near to a storage element."""
    if rse in config.compute.rse_sites:
        return config.compute.rse_sites[rse]
    if config.lake.backend == "local":
        return [resource.name for resource in resources if resource.backend in ("local", "slurm")]
    return ()
