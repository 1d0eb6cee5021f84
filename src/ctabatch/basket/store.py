"""Named baskets of a user, each a JSON file that is written as a whole under a lock."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from ctabatch.errors import BatchError, InputError
from ctabatch.files import replacing
from ctabatch.lake.names import parse_did

#: Basket that is meant where none is named.
DEFAULT = "default"
#: Kinds of items.
DATA, LOG = "data", "log"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")
_FORMAT = 1
#: For what is read: nothing is converted, no key is ignored.
_AS_WRITTEN = ConfigDict(strict=True, extra="forbid")


def _known_did(did: str) -> str:
    parse_did(did)
    return did


@dataclass(frozen=True)
class Item:
    """A file in a basket."""

    did: Annotated[str, AfterValidator(_known_did)]
    bytes: Annotated[int, Field(ge=0)]
    adler32: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{8})?$")] = ""
    lake: str = ""  #: where it was found, see `lake_name`
    kind: Literal["data", "log"] = DATA
    metadata: bool = False  #: a file with its metadata is wanted, too
    project: str = ""
    label: str = ""  #: for people: observation and object

    __pydantic_config__: ClassVar = _AS_WRITTEN


@dataclass(frozen=True)
class _File:
    """Content of the file of a basket."""

    format: Annotated[int, Field(ge=_FORMAT, le=_FORMAT)]
    items: list[Item]

    __pydantic_config__: ClassVar = _AS_WRITTEN


def read_item(values: dict[str, Any]) -> Item:
    """Make an item of values from elsewhere.

    Raises
    ------
    ValueError, ctabatch.errors.InputError
        A value is missing or wrong.
    """
    return TypeAdapter(Item).validate_json(json.dumps(values))


@dataclass(frozen=True)
class Basket:
    """Files in the order in which they were put in, each once."""

    name: str
    items: tuple[Item, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Total volume."""
        return sum(item.bytes for item in self.items)

    def with_items(self, items: Iterable[Item]) -> tuple["Basket", int]:
        """Return the basket with more items, and how many of them are new.

        One that is there already stays where it is, with what was found out about it last.
        """
        merged = {(item.lake, item.did): item for item in self.items}
        before = len(merged)
        for item in items:
            key = (item.lake, item.did)
            old = merged.get(key)
            merged[key] = replace(item, metadata=item.metadata or bool(old and old.metadata))
        return replace(self, items=tuple(merged.values())), len(merged) - before


def lake_name(settings) -> str:
    """Name a lake, so that baskets of several are told apart.

    Parameters
    ----------
    settings : ctabatch.config.lake.LakeSettings
        The lake.
    """
    if settings.backend == "rucio":
        return f"rucio:{settings.rucio.host.rstrip('/')}"
    return f"local:{settings.local.folder.absolute()}"


def folder() -> Path:
    """Return the folder of the baskets, below the user's data folder (``XDG_DATA_HOME``)."""
    import platformdirs

    return platformdirs.user_data_path("ctabatch") / "baskets"


def names() -> list[str]:
    """Return the names of all baskets."""
    return sorted(path.stem for path in folder().glob("*.json"))


def load(name: str = DEFAULT) -> Basket:
    """Read a basket; one that does not exist is empty.

    Raises
    ------
    ctabatch.errors.BatchError
        The file is damaged.
    """
    path = _path(name)
    try:
        text = path.read_text(encoding="utf-8")
        if json.loads(text)["format"] != _FORMAT:
            raise BatchError(
                f"the basket {path} was written by another version", "export and import it"
            )
        return Basket(name, tuple(TypeAdapter(_File).validate_json(text).items))
    except FileNotFoundError:
        return Basket(name)
    except (ValueError, KeyError, TypeError, InputError):
        raise BatchError(
            f"the basket {path} is damaged", f"start anew: cta-batch basket clear --basket {name}"
        ) from None


@contextmanager
def changing(name: str = DEFAULT, *, anew: bool = False) -> Iterator[list[Basket]]:
    """Change a basket; nobody else changes it meanwhile, and it is written as a whole.

    Parameters
    ----------
    name : str
        Of the basket.
    anew : bool
        Start with an empty one, whatever is there.

    Yields
    ------
    list of Basket
        With one element; what it holds at the end is written.
    """
    from filelock import FileLock, Timeout

    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=60):
            held = [Basket(name) if anew else load(name)]
            yield held
            content = {"format": _FORMAT, "items": [asdict(item) for item in held[0].items]}
            with replacing(path, private=True) as temporary:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    except Timeout:
        raise BatchError(f"another process holds {path}.lock", "end it, or wait") from None


def delete(name: str) -> None:
    """Remove a basket."""
    _path(name).unlink(missing_ok=True)


def item_of(record: dict[str, Any], lake: str, *, kind: str = DATA, metadata=False) -> Item:
    """Make an item of a row of a search."""
    obs_id, target = record.get("instance__obs_id"), record.get("obs__object")
    label = " ".join(str(part) for part in (obs_id, target) if part is not None)
    return Item(
        did=record["did"],
        bytes=int(record["bytes"]),
        adler32=str(record.get("adler32", "")),
        lake=lake,
        kind=kind,
        metadata=metadata,
        project=str(record.get("proposal_id", "")),
        label=label or str(record.get("data__type", "")),
    )


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name of a basket",
            where="--basket",
            allowed="up to 64 letters, digits, '.', '_' and '-'",
        )
    return folder() / f"{name}.json"
