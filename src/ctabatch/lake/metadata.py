"""Metadata of products: built and checked by ctao-datamodel, kept in a sidecar, flat in the lake.

The sidecar ``<product>.meta.json`` beside a product is the only source of what is ingested. It
holds the product model as CTAO defines it, extra flat keys of ours, and size and checksum of the
file that it belongs to.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.time import Time
from ctao_datamodel import flatten_model_instance
from ctao_datamodel.models.dataproducts import Product
from ctao_datamodel.models.dataproducts.utils import dpps_lfn
from pydantic import ValidationError

from ctabatch import __version__
from ctabatch.errors import InputError, IntegrityError
from ctabatch.files import read_json, write_json
from ctabatch.lake.base import NewFile
from ctabatch.lake.checksum import digest
from ctabatch.lake.names import check_metadata, lfn_root, parse_did

#: Appended to the name of a product.
SUFFIX = ".meta.json"

#: Id of an input that is not a product. ctao-datamodel 1.4 calls it optional, and demands a UUID.
NO_ID = str(uuid.UUID(int=0))


@dataclass(frozen=True)
class ProductMetadata:
    """What is known about a product.

    Parameters
    ----------
    product : ctao_datamodel.models.dataproducts.Product
        Metadata that CTAO defines.
    extra : dict
        Flat keys of ours, such as ``irf__request_digest``.
    """

    product: Product
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Identifier of the product, a UUID."""
        return str(self.product.instance.id)

    def flat(self) -> dict[str, Any]:
        """Return the keys for the lake: names joined by ``__``, no lists, nothing that is unset.

        Lists become text joined by blanks; of ``activity__inputs`` these are the product ids, or
        the URI of an input that has none.

        Raises
        ------
        ctabatch.errors.InputError
            An extra key is one of the product model, or can't be a key.
        """
        flat = flatten_model_instance(
            self.product, separator="__", to_string=False, expand_lists=False
        )
        flat = {key: _scalar(value) for key, value in flat.items() if value not in (None, [], {})}
        for key in self.extra:
            if key in flat:
                raise InputError(f"extra key {key!r} is one of the product model already")
        extra = {key: _scalar(value) for key, value in self.extra.items() if value is not None}
        return check_metadata(flat | extra)


def _scalar(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return " ".join(_reference(item) if isinstance(item, Mapping) else str(item) for item in value)


def _reference(item: Mapping[str, Any]) -> str:
    return item["uri"] if item.get("id", NO_ID) == NO_ID else item["id"]


def build_product_metadata(
    *,
    description: str,
    data: Mapping[str, Any],
    instance: Mapping[str, Any],
    curation: Mapping[str, Any],
    model: Mapping[str, Any],
    contact: Mapping[str, Any],
    activity: Mapping[str, Any],
    creation_time: Any = None,
    extra: Mapping[str, Any] | None = None,
    **context: Any,
) -> ProductMetadata:
    """Build the metadata of a product and check them against ctao-datamodel.

    Parameters
    ----------
    description : str
        Title of the product.
    data, instance, curation, model, contact : mapping
        Sections of the same name of `ctao_datamodel.models.dataproducts.Product`. A new
        ``instance.id`` is made where none is given.
    activity : mapping
        What made the product: at least ``name``, ``start`` and ``configuration_id``. ``id`` and
        ``software`` (this package) are filled in where they are absent, and `NO_ID` for the ``id``
        of ``inputs`` without one.
    creation_time : astropy.time.Time or str, optional
        UTC; now by default.
    extra : mapping, optional
        Flat keys of ours: text, numbers, bools, or lists of them.
    **context : mapping or str
        The optional sections ``simulation``, ``observation``, ``acquisition``, ``sdc`` and
        ``disclaimer``.

    Returns
    -------
    ProductMetadata

    Raises
    ------
    ctabatch.errors.InputError
        Names the first field that ctao-datamodel does not accept.
    """
    software = {"name": "ctabatch", "version": __version__}
    activity = {"id": str(uuid.uuid4()), "software": software} | dict(activity)
    if activity.get("inputs"):
        activity["inputs"] = [{"id": NO_ID} | dict(item) for item in activity["inputs"]]
    content = {
        "description": description,
        "data": data,
        "instance": instance,
        "curation": curation,
        "model": model,
        "contact": contact,
        "creation_time": Time.now() if creation_time is None else creation_time,
        "activity": activity,
        **context,
    }
    metadata = ProductMetadata(_validate(content, "metadata"), dict(extra or {}))
    metadata.flat()
    return metadata


def _validate(content: Any, where: str) -> Product:
    try:
        return Product.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(first["msg"], f"{where}: {name}") from None


def sidecar_of(path: Path) -> Path:
    """Return the path of a product's sidecar."""
    path = Path(path)
    return path.with_name(path.name + SUFFIX)


def write_sidecar(path: Path, metadata: ProductMetadata) -> Path:
    """Write the sidecar of a product, as a whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The product, complete: its size and checksum are noted.
    metadata : ProductMetadata
        What to write.

    Returns
    -------
    pathlib.Path
        The sidecar.
    """
    path = Path(path)
    content = {
        "file": {"name": path.name, **digest(path)._asdict()},
        "product": metadata.product.model_dump(mode="json", exclude_none=True),
        "extra": dict(metadata.extra),
    }
    write_json(sidecar_of(path), content)
    return sidecar_of(path)


def read_sidecar(path: Path) -> ProductMetadata:
    """Read the sidecar of a product and check that it belongs to the file.

    Parameters
    ----------
    path : pathlib.Path
        The product.

    Returns
    -------
    ProductMetadata

    Raises
    ------
    ctabatch.errors.InputError
        The sidecar is missing, or not one.
    ctabatch.errors.IntegrityError
        The file is not the one that the sidecar was written for.
    """
    path = Path(path)
    sidecar = sidecar_of(path)
    content = read_json(sidecar)
    if not isinstance(content, dict) or set(content) != {"file", "product", "extra"}:
        raise InputError("is not a sidecar", str(sidecar), "keys file, product and extra")
    metadata = ProductMetadata(_validate(content["product"], str(sidecar)), content["extra"])
    found, noted = digest(path), content["file"]
    if found != (noted.get("bytes"), noted.get("adler32")):
        raise IntegrityError(
            f"{path} has {found.bytes} bytes with adler32 {found.adler32}, its sidecar was written "
            f"for {noted.get('bytes')} bytes with {noted.get('adler32')}",
            "make the product again",
        )
    return metadata


def did_for(product: Product, filename: str, *, vo: str, scope: str) -> str:
    """Return the DID of a product: CTAO's logical folder for it, and its file name.

    Parameters
    ----------
    product : ctao_datamodel.models.dataproducts.Product
        Release, site, data level, division, and if set simulation node, night and obs id decide.
    filename : str
        Base name of the file. ctao-datamodel's own is not used: it always ends with ``.h5``.
    vo, scope : str
        Virtual organisation and scope.

    Returns
    -------
    str
        ``scope:/vo/scope/release/site/level/division/.../filename``.

    Raises
    ------
    ctabatch.errors.InputError
        Release or site are unset, or a part has characters which names can't have.
    """
    for name, value in (
        ("curation.release", product.curation.release),
        ("instance.site_id", product.instance.site_id),
    ):
        if value is None:
            raise InputError("is needed for the name in the lake, and unset", name)
    if "/" in filename:
        raise InputError(f"file name {filename!r} holds a folder", allowed="a base name")
    folder = dpps_lfn(product, base=lfn_root(vo, scope), include_filename=False)
    did = f"{scope}:{folder.as_posix()}/{filename}"
    parse_did(did)
    return did


def new_file(path: Path, *, vo: str, scope: str, name: str | None = None) -> NewFile:
    """Describe a product for ingest, from its sidecar alone.

    Parameters
    ----------
    path : pathlib.Path
        The product; its sidecar is beside it.
    vo, scope : str
        As in `did_for`.
    name : str, optional
        Its file name in the lake; that of `path` by default.

    Returns
    -------
    ctabatch.lake.base.NewFile
    """
    path = Path(path)
    metadata = read_sidecar(path)
    did = did_for(metadata.product, name or path.name, vo=vo, scope=scope)
    return NewFile(path, did, metadata.flat())
