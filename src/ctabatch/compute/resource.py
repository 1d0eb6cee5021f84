"""What jobs need, what resources offer, and in which order resources are preferred."""

from dataclasses import asdict, dataclass, field, replace

from ctabatch.errors import BatchError


class NoResourceError(BatchError):
    """No resource meets the need; the message says what the best ones offer."""


@dataclass(frozen=True)
class Need:
    """What one job needs; 0 is no demand.

    Parameters
    ----------
    cpus : int
        Processors.
    memory : int
        Memory in bytes.
    walltime : float
        Wall-clock time in seconds.
    disk : int
        Scratch space in bytes.
    storage : int
        Bytes of all results together; only this machine, where they would lie, must have them.
    near : str, optional
        Query of the data lake: resources near to these files are preferred.
    """

    cpus: int = 1
    memory: int = 0
    walltime: float = 0
    disk: int = 0
    storage: int = 0
    near: str | None = None


@dataclass(frozen=True)
class Resource:
    """This machine, a partition or a site. None is unknown, or without limit.

    Parameters
    ----------
    backend : str
        ``local``, ``slurm`` or ``dirac``.
    name : str
        ``localhost``, or the name of partition or site.
    usable : bool
        Whether it takes jobs now.
    status : str
        In words, with the reason if it is not usable.
    cpus, memory_bytes, walltime_s, disk_free_bytes : int or float
        What one job can have at most.
    cpus_total, cpus_free : int
        Processors together, and those that are idle.
    slots_free : int
        Jobs of the wanted kind that could start now.
    waiting, running : int
        Jobs, of all users as far as the server tells.
    pilots : dict
        Number of pilots by status (DIRAC).
    platforms : tuple of str
        Platforms or node features.
    near_fraction : float
        Share of the wanted data, by bytes, that has a copy near to it.
    unmet : tuple of str
        Parts of the need that it does not meet, in words.
    score : float
        See `score_of`.
    """

    backend: str
    name: str
    usable: bool = True
    status: str = "up"
    cpus: int | None = None
    memory_bytes: int | None = None
    walltime_s: float | None = None
    disk_free_bytes: int | None = None
    cpus_total: int | None = None
    cpus_free: int | None = None
    slots_free: int | None = None
    waiting: int | None = None
    running: int | None = None
    pilots: dict[str, int] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    near_fraction: float | None = None
    unmet: tuple[str, ...] = ()
    score: float = 0.0

    def record(self) -> dict:
        """Return it as JSON can hold it."""
        return asdict(self) | {"platforms": list(self.platforms), "unmet": list(self.unmet)}


def judge(resource: Resource, need: Need) -> Resource:
    """Note what a resource lacks, and its score."""
    unmet = [] if resource.usable else [resource.status]
    for what, wanted, offered, text in (
        ("CPUs", need.cpus, resource.cpus, str),
        ("memory", need.memory, resource.memory_bytes, size),
        ("wall time", need.walltime, resource.walltime_s, hours),
        ("disk", need.disk, resource.disk_free_bytes, size),
    ):
        if offered is not None and wanted > offered:
            unmet.append(f"{what} {text(offered)} of {text(wanted)}")
    if (
        resource.backend == "local"
        and resource.disk_free_bytes is not None
        and need.storage > resource.disk_free_bytes
    ):
        unmet.append(f"disk {size(resource.disk_free_bytes)} of {size(need.storage)} for results")
    judged = replace(resource, unmet=tuple(unmet))
    return replace(judged, score=round(score_of(judged), 4))


def score_of(resource: Resource) -> float:
    """Rank a resource, from 0 to 2: how soon jobs start there, plus how much of the data is near.

    The first part is ``(s + 1) / (s + waiting + 2)``, where s are the free slots and a tenth of the
    running jobs, which make room before long: 1/2 where nothing is known, near 1 for an idle
    resource, near 0 for one with a long queue. It is a rule of thumb, not a forecast.
    """
    soon = (resource.slots_free or 0) + (resource.running or 0) / 10
    start = (soon + 1) / (soon + (resource.waiting or 0) + 2)
    return start + (resource.near_fraction or 0)


def rank(resources) -> list[Resource]:
    """Sort: those that meet the need first, then by score, free slots and name."""
    return sorted(
        resources,
        key=lambda r: (len(r.unmet), -r.score, -(r.slots_free or 0), r.backend, r.name),
    )


def slots(need: Need, cpus: float, memory: float | None) -> int:
    """Return how many jobs of a kind fit into free processors and memory (bytes)."""
    count = int(max(cpus, 0) // max(need.cpus, 1))
    if need.memory and memory is not None:
        count = min(count, int(max(memory, 0) // need.memory))
    return count


def size(count: float) -> str:
    """Write bytes in a short form."""
    from rich.filesize import decimal

    return decimal(int(count))


def hours(seconds: float) -> str:
    """Write a time in a short form."""
    if seconds < 3600:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.4g} h" if seconds < 72 * 3600 else f"{seconds / 86400:.3g} d"
