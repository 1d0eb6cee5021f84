"""What became of the files of a basket since they were put in."""

from collections.abc import Mapping
from typing import Any

from ctabatch.basket.store import Basket, Item
from ctabatch.errors import UnknownDid
from ctabatch.iam.identity import Identity
from ctabatch.iam.projects import VALID, access
from ctabatch.lake.base import DataLake

#: Item that can be used.
GOOD = "ok"


def states(basket: Basket, lake: DataLake, lake_name: str, person: Identity) -> dict[Item, str]:
    """Tell the state of each item.

    Parameters
    ----------
    basket : Basket
        The basket.
    lake : ctabatch.lake.base.DataLake
        Where to look.
    lake_name : str
        Its name, see `ctabatch.basket.store.lake_name`.
    person : ctabatch.iam.identity.Identity
        Who asks; what he may not see has vanished for him.

    Returns
    -------
    dict
        Item to `GOOD`, or what is stale about it: ``vanished``, ``no copy``, ``changed``,
        ``superseded``, ``invalid`` (any status but valid), ``in another lake``.
    """
    here = [item.did for item in basket.items if item.lake == lake_name]
    known = known_files(lake, here)
    copies = {replica.did: replica for replica in lake.replicas(known)} if known else {}
    result = {}
    for item in basket.items:
        if item.lake != lake_name:
            result[item] = "in another lake"
        else:
            result[item] = _state(item, known.get(item.did), copies.get(item.did), person)
    return result


def known_files(lake: DataLake, dids: list[str]) -> dict[str, dict[str, Any]]:
    """Return the metadata of those DIDs that the lake has."""
    if not dids:
        return {}
    try:
        return lake.metadata(dids)
    except UnknownDid as error:
        return known_files(lake, [did for did in dids if did not in set(error.dids)])


def may_see(person: Identity, metadata: Mapping[str, Any]) -> bool:
    """Tell whether a person may see a file; files of no project are everybody's."""
    return "proposal_id" not in metadata or access(person, metadata) is not None


def _state(item: Item, metadata: Mapping[str, Any] | None, copy, person: Identity) -> str:
    if metadata is None or not may_see(person, metadata):
        return "vanished"
    if copy is None:
        return "no copy"
    if item.adler32 and (copy.bytes, copy.adler32) != (item.bytes, item.adler32):
        return "changed"
    status = metadata.get("dl3__status", metadata.get("irf__status", VALID))
    return GOOD if status == VALID else str(status)
