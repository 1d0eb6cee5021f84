"""The Snakemake profiles of this project in the user's Snakemake folder, as links."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

from ctabatch.errors import BatchError, InputError

#: Profiles of the project, each a folder with config.yaml.
NAMES = ("local", "slurm", "dirac", "egi")


@dataclass(frozen=True)
class Link:
    """A profile and what is in its place in the user's folder.

    Parameters
    ----------
    name : str
        What ``snakemake --profile`` is given.
    source, place : pathlib.Path
        Folder of the project, and where Snakemake looks for it.
    state : str
        ``absent``, ``installed``, ``other link`` or ``own``.
    """

    name: str
    source: Path
    place: Path
    state: str


def user_folder() -> Path:
    """Return the folder in which Snakemake looks for profiles of the user."""
    # the same call as Snakemake's own
    return Path(PlatformDirs("snakemake", "snakemake").user_config_dir)


def find_source(folder: Path | None = None) -> Path:
    """Return the folder with the profiles: `folder`, else that of the checkout.

    The checkout is the working directory, else where this package is installed from.
    """
    candidates = (
        [Path(folder)]
        if folder is not None
        else [Path("profiles"), Path(__file__).resolve().parents[3] / "profiles"]
    )
    for candidate in candidates:
        if all((candidate / name / "config.yaml").is_file() for name in NAMES):
            return candidate.resolve()
    raise InputError(
        f"{candidates[0]} does not hold the profiles {', '.join(NAMES)}",
        "profiles",
        "run it in a checkout of the project, or give --from FOLDER",
    )


def look(source: Path) -> list[Link]:
    """Say of each profile what is in its place."""
    return [_look(source / name, user_folder() / name) for name in NAMES]


def _look(source: Path, place: Path) -> Link:
    if place.is_symlink():
        same = place.exists() and place.resolve() == source.resolve()
        state = "installed" if same else "other link"
    else:
        state = "own" if place.exists() else "absent"
    return Link(source.name, source, place, state)


def install(source: Path, force: bool = False) -> list[Link]:
    """Link the profiles; doing it twice is doing it once.

    Nothing is changed if one of the places is taken. `force` replaces links, never a folder or file
    of the user.

    Returns
    -------
    list of Link
        With the states before.

    Raises
    ------
    ctabatch.errors.BatchError
        A place is taken; names all of them.
    """
    links = look(source)
    own = [str(link.place) for link in links if link.state == "own"]
    if own:
        raise BatchError(
            f"not ours, and kept as it is: {', '.join(own)}",
            f"rename it, or use --profile {source}/NAME; nothing was changed",
        )
    others = [
        f"{link.place} -> {link.place.readlink()}" for link in links if link.state == "other link"
    ]
    if others and not force:
        raise BatchError(
            f"links to somewhere else: {', '.join(others)}",
            "--force replaces links; nothing was changed",
        )
    for link in links:
        if link.state != "installed":
            _make_link(link)
    return links


def _make_link(link: Link) -> None:
    try:
        link.place.parent.mkdir(parents=True, exist_ok=True)
        if link.state == "absent":
            # fails if somebody has put something there meanwhile
            link.place.symlink_to(link.source, target_is_directory=True)
            return
        temporary = link.place.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
        temporary.symlink_to(link.source, target_is_directory=True)
        temporary.replace(link.place)
    except OSError as error:
        raise BatchError(
            f"{link.place}: {error.strerror}", "see to it and run this again"
        ) from None


def remove(source: Path) -> list[Link]:
    """Remove the links to the profiles of `source`, nothing else."""
    links = [link for link in look(source) if link.state == "installed"]
    for link in links:
        link.place.unlink()
    return links
