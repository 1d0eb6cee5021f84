"""Array layouts: telescope positions and the site they stand on, from ``config/subarrays``."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from ctabatch.config.base import Section
from ctabatch.config.load import parse_section, read_yaml
from ctabatch.errors import InputError
from ctabatch.simulation.card import Site, Telescope

#: Environment variable with a folder of layouts that is looked into first.
FOLDER_VARIABLE = "CTABATCH_SUBARRAYS"


class Layout(Section):
    """An array of telescopes at a site."""

    name: str
    """Name of the layout."""
    description: str = ""
    """What the layout is, for people."""
    site: Site
    """Where it stands."""
    source: str
    """Where the positions come from."""
    telescopes: Annotated[tuple[Telescope, ...], Field(min_length=1)]
    """The telescopes."""

    @model_validator(mode="after")
    def _unique(self):
        ids = [telescope.id for telescope in self.telescopes]
        if len(set(ids)) != len(ids):
            raise ValueError("telescopes have to have different ids")
        return self

    def select(self, ids) -> "Layout":
        """Keep only the telescopes with the given ids; an unknown id is an `InputError`."""
        wanted = set(ids)
        known = {telescope.id for telescope in self.telescopes}
        if wanted - known:
            raise InputError(
                f"layout {self.name} has no telescope {sorted(wanted - known)[0]}",
                allowed=", ".join(map(str, sorted(known))),
            )
        kept = tuple(telescope for telescope in self.telescopes if telescope.id in wanted)
        return self.model_copy(update={"telescopes": kept})


def folders() -> list[Path]:
    """Return the folders that layouts are looked for in, first wins."""
    found = []
    if os.environ.get(FOLDER_VARIABLE):
        found.append(Path(os.environ[FOLDER_VARIABLE]))
    found.append(Path("config") / "subarrays")
    found.append(Path(__file__).resolve().parents[3] / "config" / "subarrays")
    return found


def known_subarrays() -> list[str]:
    """List the names of the layouts that can be loaded."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.yaml")})


def load_subarray(name_or_path) -> Layout:
    """Load a layout.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        Name of a file of ``config/subarrays`` without its ending, such as ``CTAO-North``, or the
        path of a YAML file.

    Returns
    -------
    Layout

    Raises
    ------
    ctabatch.errors.InputError
        The layout is unknown (names those that are known) or the file has a wrong value.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
    else:
        path = next((p for f in folders() if (p := f / f"{text}.yaml").is_file()), None)
        if path is None:
            known = ", ".join(known_subarrays()) or "the path of a YAML file"
            raise InputError(f"there is no subarray {text!r}", allowed=known)
    return parse_section(Layout, read_yaml(path), str(path))
