"""What no value of a configuration may be, whatever its key says.

The models check each key by itself; these limits hold for every text and number, so that a key whose
model is generous can't carry control characters into a log, a file name or a request to a server.
"""

from typing import Any

from ctabatch.config.base import shorten
from ctabatch.config.mistakes import key_text
from ctabatch.errors import InputError

#: Longest text of a value.
MAXIMUM_TEXT = 1000
#: Whole numbers are stored in 64 bits by databases and files.
MAXIMUM_INTEGER = 2**63 - 1


def check_keys(content: Any, where: str, place: tuple = ()) -> None:
    """Refuse keys that are no text: in YAML a bare ``true``, ``no`` or ``1`` is none.

    Parameters
    ----------
    content : object
        Mappings, lists and plain values.
    where : str
        Name of the file.
    place : tuple of str or int
        Keys and positions that lead to `content`.

    Raises
    ------
    ctabatch.errors.InputError
        Names the section and its key.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(key, str):
                raise InputError(
                    f"key {shorten(key)} is not text; write it in quotes", _named(where, place)
                )
            check_keys(value, where, (*place, key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            check_keys(value, where, (*place, number))


def check_values(content: Any, where: str, place: tuple = ()) -> None:
    """Refuse text with control or hidden characters, too long text and too large numbers.

    Parameters
    ----------
    content, where, place
        As in `check_keys`.

    Raises
    ------
    ctabatch.errors.InputError
        Names the key.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            check_values(value, where, (*place, key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            check_values(value, where, (*place, number))
    elif isinstance(content, str):
        if not content.isprintable():
            raise InputError(
                f"{shorten(content)} has control or hidden characters",
                _named(where, place),
                "one line of visible characters",
            )
        if len(content) > MAXIMUM_TEXT:
            raise InputError(
                f"{shorten(content)} is too long",
                _named(where, place),
                f"at most {MAXIMUM_TEXT} characters",
            )
    elif isinstance(content, int) and abs(content) > MAXIMUM_INTEGER:
        raise InputError(
            f"{shorten(content)} is out of range",
            _named(where, place),
            f"whole numbers up to {MAXIMUM_INTEGER}",
        )


def _named(where: str, place: tuple) -> str:
    key = key_text(place)
    return f"{where}: {key}" if key else where
