"""Job descriptions (JDL) that the server's parser cannot misread.

DiracX 0.7 hangs for ever on a ``[`` within a value, splits values at ``;``, replaces ``%j`` and
refuses quotes. So nothing but short words leaves the client: names are made of a safe alphabet,
the command itself travels in the sandbox.
"""

import re
from dataclasses import dataclass, field

#: Longest job name and job group that DIRAC's database takes.
NAME_LENGTH, GROUP_LENGTH = 128, 32
_SAFE_WORD = re.compile(r"[A-Za-z0-9._+/:|@-]+")
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")

#: Files of a job that the output sandbox carries.
STDOUT, STDERR = "std.out", "std.err"


class UnsafeWordError(ValueError):
    """A word holds a character that the server's parser would choke on."""


def safe_name(text: str, length: int = 40) -> str:
    """Turn any text into part of a job name: letters, digits, ``_ . -``, at most `length`."""
    return _NAME.sub("_", text)[:length].strip("_.-") or "job"


def word(text) -> str:
    """Return `text` if it is one safe word, else raise `UnsafeWordError`."""
    text = str(text)
    if not _SAFE_WORD.fullmatch(text):
        raise UnsafeWordError(f"{text!r} cannot stand in a DIRAC job description")
    return text


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job asks of a site.

    Parameters
    ----------
    processors : int
        Cores.
    cpu_time : int
        DIRAC's CPUTime in HS06 seconds.
    memory : int
        MB; 0 does not ask.
    disk : int
        MB of scratch space, checked on the worker; DIRAC itself has no such request.
    sites, banned_sites, tags : tuple of str
        As DIRAC knows them; no sites means any.
    """

    processors: int = 1
    cpu_time: int = 86400
    memory: int = 0
    disk: int = 0
    sites: tuple[str, ...] = ()
    banned_sites: tuple[str, ...] = ()
    tags: tuple[str, ...] = field(default=())

    def __str__(self):
        parts = [f"{self.processors} processor(s)", f"CPUTime {self.cpu_time}"]
        parts += [f"{self.memory} MB memory"] if self.memory else []
        parts += [f"sites {', '.join(self.sites)}"] if self.sites else []
        parts += [f"not at {', '.join(self.banned_sites)}"] if self.banned_sites else []
        parts += [f"tags {', '.join(self.tags)}"] if self.tags else []
        return ", ".join(parts)


def _listed(items) -> str:
    return "{" + ", ".join(f'"{word(item)}"' for item in items) + "}"


def description(name: str, group: str, needs: Needs, sandbox: str, arguments) -> str:
    """Write the JDL of a job.

    Parameters
    ----------
    name, group : str
        JobName and JobGroup.
    needs : Needs
        Resources.
    sandbox : str
        PFN of the input sandbox.
    arguments : iterable
        Plain words for the bootstrap script.

    Returns
    -------
    str
        JDL without the outer brackets.
    """
    if len(name) > NAME_LENGTH or len(group) > GROUP_LENGTH:
        raise ValueError(f"job name {name!r} or group {group!r} is too long for DIRAC")
    lines = [
        f'JobName = "{word(name)}"',
        f'JobGroup = "{word(group)}"',
        'JobType = "User"',
        'Executable = "dirac-job"',
        f'Arguments = "{" ".join(word(item) for item in arguments)}"',
        f'StdOutput = "{STDOUT}"',
        f'StdError = "{STDERR}"',
        f"OutputSandbox = {_listed([STDOUT, STDERR])}",
        f"InputSandbox = {_listed([sandbox])}",
        f"CPUTime = {int(needs.cpu_time)}",
    ]
    if needs.processors > 1:
        lines.append(f"NumberOfProcessors = {int(needs.processors)}")
    if needs.memory:
        lines.append(f"MinRAM = {int(needs.memory)}")
    if needs.sites:
        lines.append(f"Site = {_listed(needs.sites)}")
    if needs.banned_sites:
        lines.append(f"BannedSites = {_listed(needs.banned_sites)}")
    if needs.tags:
        lines.append(f"Tags = {_listed(needs.tags)}")
    return ";\n".join(lines) + ";"
