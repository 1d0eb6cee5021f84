"""Names in a lake: data identifiers (DIDs), metadata keys, and what both back ends refuse.

The pattern of names is that of CTAO's Rucio policy package. The fixed keys are columns of Rucio's
own table of DIDs, which can't be mixed with free metadata in one query.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ctabatch.errors import InputError

_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_]{0,24}")
_NAME = re.compile(r"/[A-Za-z0-9][/A-Za-z0-9.\-_]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Longest name that Rucio's catalogue holds.
NAME_LENGTH = 250

#: Columns of Rucio's DID table, and its own filter words: not available as metadata keys.
FIXED_KEYS = frozenset(
    """
    scope name vo account did did_type type is_open monotonic hidden obsolete complete is_new
    availability suppressed bytes length md5 adler32 rule_evaluation_action
    rule_evaluation_required expired_at purge_replicas deleted_at events guid project datatype
    run_number stream_name prod_step version campaign task_id panda_id lumiblocknr provenance
    phys_group transient accessed_at closed_at eol_at is_archive constituent access_cnt
    created_at updated_at created_after created_before lifetime is_opendata
    """.split()  # noqa: SIM905 - fifty words read better than fifty strings
)

_DID_ALLOWED = (
    "scope:/name of letters, digits, '/', '.', '-' and '_', such as "
    "test:/ctao.dpps.test/test/data/file.fits"
)


def parse_did(did: str) -> tuple[str, str]:
    """Split a DID and check its parts.

    Parameters
    ----------
    did : str
        ``scope:name``; the name is a logical file name that starts with ``/``.

    Returns
    -------
    scope, name : str

    Raises
    ------
    ctabatch.errors.InputError
        Characters outside the policy, ``.`` or ``..`` or empty parts in the path, or a name of more
        than 250 characters.
    """
    if not isinstance(did, str):
        raise InputError(f"DID {did!r} is not text", allowed=_DID_ALLOWED)
    scope, colon, name = did.partition(":")
    if not colon or not _SCOPE.fullmatch(scope) or not _NAME.fullmatch(name):
        raise InputError(f"DID {did!r} is not a data identifier", allowed=_DID_ALLOWED)
    if any(part in ("", ".", "..") for part in name[1:].split("/")):
        raise InputError(f"DID {did!r} has an empty, '.' or '..' part", allowed=_DID_ALLOWED)
    if len(name) > NAME_LENGTH:
        raise InputError(
            f"the name of DID {did!r} has {len(name)} characters", allowed=f"up to {NAME_LENGTH}"
        )
    return scope, name


def lfn_root(vo: str, scope: str) -> str:
    """Return the folder of a scope's logical file names, as CTAO's Rucio policy wants it.

    Parameters
    ----------
    vo, scope : str
        Virtual organisation and scope; the scopes of persons are called ``user.<name>``.

    Returns
    -------
    str
        ``/<vo>/<scope>``, or ``/<vo>/user/<first letter>/<name>`` for a person.
    """
    if scope.startswith("user."):
        person = scope.removeprefix("user.")
        return f"/{vo}/user/{person[0]}/{person}"
    return f"/{vo}/{scope}"


def unique_dids(dids: Iterable[str]) -> list[str]:
    """Check DIDs and drop repeated ones, order kept.

    Parameters
    ----------
    dids : iterable of str
        As given by a caller; a single text is refused, for it would be taken letter by letter.

    Returns
    -------
    list of str
    """
    if isinstance(dids, str):
        raise InputError(f"{dids!r} is a single text", allowed="a list of DIDs")
    result = list(dict.fromkeys(dids))
    for did in result:
        parse_did(did)
    return result


def check_key(key: Any) -> str:
    """Check a metadata key and return it.

    Raises
    ------
    ctabatch.errors.InputError
        Not letters, digits and ``_``, or one of `FIXED_KEYS`.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InputError(
            f"{key!r} can't be a metadata key", allowed="letters, digits and _, not a digit first"
        )
    if key in FIXED_KEYS:
        raise InputError(
            f"{key!r} is a fixed column of the catalogue",
            allowed="metadata keys, such as data__level or instance__obs_id",
        )
    return key


def is_text(value: str) -> bool:
    """Tell whether text can be stored: it is Unicode, and without NUL."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def check_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Check keys and values of metadata and return them as a plain dictionary.

    Parameters
    ----------
    metadata : mapping
        Keys to text, numbers, bools; lists of these are stored, but no query matches them.

    Returns
    -------
    dict
    """
    result = {}
    for key, value in metadata.items():
        check_key(key)
        for item in value if isinstance(value, list | tuple) else [value]:
            if (
                not isinstance(item, str | int | float | bool)
                or (isinstance(item, float) and not math.isfinite(item))
                or (isinstance(item, str) and not is_text(item))
            ):
                raise InputError(
                    f"metadata key {key!r} has the value {value!r}",
                    allowed="text, finite numbers, true or false, or a list of these",
                )
        result[key] = list(value) if isinstance(value, tuple) else value
    return result
