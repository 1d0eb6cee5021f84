"""Shopping carts of ESAP, the ESCAPE science platform: import and export.

The user profile's ``shopping_cart`` is a list of items whose ``item_data`` is a JSON *text* that
holds ``{"archive": ..., "record": ...}``; records of the archive ``rucio`` are rows of Rucio. A cart
can be read by everybody: only name, size and checksum of a file go into it.
"""

import json
from contextlib import suppress
from typing import Any

from ctabatch.basket.fill import LOG_NAME
from ctabatch.basket.store import DATA, LOG, Basket, Item, read_item
from ctabatch.errors import InputError

ARCHIVE = "rucio"


def to_cart(basket: Basket) -> list[dict[str, str]]:
    """Write a basket as a shopping cart.

    Returns
    -------
    list of dict
        What ESAP keeps under ``shopping_cart``.
    """
    cart = []
    for item in basket.items:
        scope, _, name = item.did.partition(":")
        record = {"scope": scope, "name": name, "type": "FILE", "bytes": item.bytes}
        if item.adler32:
            record["adler32"] = item.adler32
        cart.append({"item_data": json.dumps({"archive": ARCHIVE, "record": record})})
    return cart


def from_cart(content: Any, lake_name: str, where: str) -> tuple[list[Item], int]:
    """Read a shopping cart.

    Parameters
    ----------
    content : object
        The list, or the user profile, or ESAP's answer with profiles in ``results``.
    lake_name : str
        Lake that the items are of.
    where : str
        Name of the file, for messages.

    Returns
    -------
    tuple
        Items of the archive ``rucio``, and the number of those of other archives.

    Raises
    ------
    ctabatch.errors.InputError
        Names the first entry that is not understood.
    """
    items, others = [], 0
    for number, entry in enumerate(_entries(content, where), 1):
        data = _item_data(entry, f"{where}: item {number}")
        if data.get("archive") != ARCHIVE:
            others += 1
            continue
        items.append(_item(data.get("record"), lake_name, f"{where}: item {number}"))
    return items, others


def _entries(content: Any, where: str) -> list[Any]:
    if isinstance(content, dict) and isinstance(content.get("results"), list):
        carts = [_entries(profile, where) for profile in content["results"]]
        return [entry for cart in carts for entry in cart]
    if isinstance(content, dict):
        content = content.get("shopping_cart")
    if not isinstance(content, list):
        raise InputError(
            "is no shopping cart", where, "a list of items, or a user profile with shopping_cart"
        )
    return content


def _item_data(entry: Any, where: str) -> dict[str, Any]:
    data = entry.get("item_data") if isinstance(entry, dict) else None
    try:
        data = json.loads(data) if isinstance(data, str) else data
    except (ValueError, RecursionError):  # too deep is as bad
        data = None
    if not isinstance(data, dict):
        raise InputError(
            "has no readable item_data", where, 'JSON text with {"archive": ..., "record": ...}'
        )
    return data


def _item(record: Any, lake_name: str, where: str) -> Item:
    if isinstance(record, dict):
        did = f"{record.get('scope')}:{record.get('name')}"
        with suppress(InputError, TypeError, ValueError, OverflowError):
            return read_item(
                {
                    "did": did,
                    "bytes": int(record.get("bytes") or 0),
                    "adler32": str(record.get("adler32") or ""),
                    "lake": lake_name,
                    "kind": LOG if LOG_NAME.fullmatch(did) else DATA,
                }
            )
    raise InputError(
        "is no row of Rucio",
        where,
        "a record with scope, name and bytes, and with adler32 of 8 hexadecimal digits or without",
    )
