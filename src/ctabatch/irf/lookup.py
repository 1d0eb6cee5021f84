"""Ask the data lake for products of the same request, before anything is simulated."""

from collections import Counter
from dataclasses import dataclass

from ctabatch.lake.base import DataLake

#: Values of the metadata key ``irf__status``.
VALID, INVALID, SUPERSEDED = "valid", "invalid", "superseded"


@dataclass(frozen=True)
class Existing:
    """Products in the lake that have the digest of a request."""

    valid: dict[str, str]  #: variant -> DID
    unusable: tuple[dict, ...]  #: DID and status of the others

    @property
    def revisions(self) -> int:
        """How often a variant was produced without being usable now."""
        counts = Counter(item["variant"] for item in self.unusable)
        return max(counts.values(), default=0)


def find_existing(lake: DataLake, digest: str, variants: list[str]) -> Existing:
    """Find the products of a request.

    Parameters
    ----------
    lake : DataLake
        Where to look.
    digest : str
        Digest of the request.
    variants : list of str
        Names of its variants; the products are usable only where every variant is there.
    """
    rows = lake.search(f"irf__request_digest = '{digest}' and data__type = GridIRF")
    valid, unusable = {}, []
    for row in rows.to_dict("records"):
        status, variant = row.get("irf__status"), row.get("irf__variant")
        if status == VALID and variant in variants and variant not in valid:
            valid[variant] = row["did"]
        else:
            unusable.append({"did": row["did"], "status": status, "variant": variant})
    if set(valid) != set(variants):
        unusable += [
            {"did": did, "status": "incomplete", "variant": name} for name, did in valid.items()
        ]
        valid = {}
    return Existing(valid, tuple(unusable))
