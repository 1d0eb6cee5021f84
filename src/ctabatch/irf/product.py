"""Make products of computed IRFs: name, reference metadata in the header, sidecar."""

import hashlib
from pathlib import Path

from ctabatch.config.irf import IRFRequest
from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError
from ctabatch.files import read_json, replacing
from ctabatch.identity import digest
from ctabatch.irf.lookup import VALID
from ctabatch.lake.metadata import ProductMetadata, build_product_metadata, write_sidecar

_MODEL = {
    "name": "GADF",
    "version": "v0.3",
    "url": "https://gamma-astro-data-formats.readthedocs.io/en/v0.3/",
}


def make_product(
    config: Configuration, plan_path: Path, variant: str, irf: Path, output: Path
) -> ProductMetadata:
    """Write the product of a variant and its sidecar.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration; gives the contact.
    plan_path : pathlib.Path
        ``plan.json``.
    variant : str
        Name of the variant.
    irf : pathlib.Path
        Output of ``ctapipe-compute-irf``.
    output : pathlib.Path
        The product to write; its sidecar is put beside it.

    Raises
    ------
    ctabatch.errors.BatchError
        `irf` is not a FITS file.
    """
    from astropy.io import fits
    from ctao_datamodel import instance_to_fits_header

    plan = read_json(plan_path)
    try:
        with fits.open(irf) as hdus:
            metadata = product_metadata(config, plan, variant, content_digest(hdus))
            header = hdus[0].header
            header.extend(instance_to_fits_header(metadata.product), update=True)
            header["ORIGIN"] = "ctabatch"
            header["REQDIGST"] = (plan["digest"][:32], "first half of the request's digest")
            if plan["disclaimer"]:
                header["COMMENT"] = plan["disclaimer"]
            with replacing(output) as temporary:
                hdus.writeto(temporary, overwrite=True, checksum=True)
    except OSError as error:
        raise BatchError(
            f"{irf} can't be read as FITS: {error}", "remove it and run again"
        ) from None
    write_sidecar(output, metadata)
    return metadata


def content_digest(hdus) -> str:
    """SHA-256 over names and tables of all HDUs but the primary: equal for equal IRFs.

    Headers, which hold times and identifiers, do not count.
    """
    total = hashlib.sha256()
    for hdu in hdus[1:]:
        total.update(hdu.name.encode())
        for name in hdu.columns.names:
            total.update(name.encode())
            total.update(hdu.data[name].tobytes())
    return total.hexdigest()


def product_metadata(
    config: Configuration, plan: dict, variant: str, content: str
) -> ProductMetadata:
    """Build the metadata of a product from the plan."""
    return build_product_metadata(
        description=f"IRF {plan['products'][variant]}",
        data={
            "level": "DL3",
            "division": "Service",
            "association": "Subarray",
            "type": "GridIRF",
        },
        model=_MODEL,
        **production_metadata(
            config, plan, {"irf__content_digest": content, "irf__variant": variant}
        ),
    )


def production_metadata(config: Configuration, plan: dict, extra: dict) -> dict:
    """Metadata that all products of a request share, as arguments of `build_product_metadata`."""
    request = IRFRequest.model_validate(plan["request"])
    node = {
        "zenith": request.pointing.zenith,
        "azimuth": request.pointing.azimuth,
        "nsb_factor": plan["conditions"]["nsb"],
    }
    return {
        "instance": {"site_id": request.site},
        "curation": {
            "release": release_name(plan),
            "license": "cc-by",
            "license_url": "https://creativecommons.org/licenses/by/4.0/",
            "valid_from": plan["conditions"]["start"],
            "valid_to": plan["conditions"]["end"],
        },
        "contact": config.contact.model_dump(),
        "simulation": {"production_name": request.product.production, "node": node},
        "activity": {
            "process": "simulation",
            "name": "irf-production",
            "start": plan["created"],
            "configuration_id": digest(plan["canonical"]["pipeline"]),
        },
        "disclaimer": plan["disclaimer"],
        "extra": {
            "irf__request_digest": plan["digest"],
            "irf__status": VALID,
            "irf__subarray": request.subarray,
            "irf__zenith_deg": request.pointing.zenith.to_value("deg"),
            "irf__azimuth_deg": request.pointing.azimuth.to_value("deg"),
            "irf__nsb": request.nsb,
            "irf__simulator": plan["simulator"],
            "irf__observation_time_s": request.observation_time.to_value("s"),
            **extra,
            **{f"software__{name}": value for name, value in plan["software"].items()},
        },
    }


def release_name(plan: dict) -> str:
    """Name of the release in the lake: production, version and digest, so that it is unique.

    A revision is counted where products of the same request are there, but not valid.
    """
    product = plan["request"]["product"]
    name = f"{product['production']}-{product['version']}-{plan['digest'][:12]}"
    return name if plan["revision"] == 1 else f"{name}-r{plan['revision']}"


def dataset_did(config: Configuration, plan: dict) -> str:
    """DID of the dataset that holds the products of a request."""
    from ctabatch.lake.names import lfn_root

    root = lfn_root(config.lake.vo, config.lake.scope)
    return f"{config.lake.scope}:{root}/irf/{release_name(plan)}"
