"""What a DIRAC server offers: its sites."""

import asyncio
from collections import Counter, defaultdict

from ctabatch.compute.dirac_client import dirac_connection
from ctabatch.compute.resource import Need, Resource
from ctabatch.config.compute import ComputeSettings, SiteLimits, matches

_WAITING = {"Received", "Checking", "Staging", "Waiting", "Rescheduled"}
_RUNNING = {"Matched", "Running", "Completing", "Stalled"}
#: Sites of jobs that are not bound to one.
_NO_SITE = {"ANY", "Multiple", "", None}
_PILOTS = ("Running", "Waiting", "Submitted")


def dirac_resources(settings: ComputeSettings, need: Need) -> tuple[list[Resource], list[str]]:
    """Describe the sites that a DiracX server knows.

    Status, load and pilots come from the server, as far as it lets the user see them; limits of
    the sites from ``compute.dirac.limits``, since the server does not tell them.

    Parameters
    ----------
    settings : ctabatch.config.compute.ComputeSettings
        Section ``compute`` of the configuration.
    need : ctabatch.compute.resource.Need
        What one job needs.

    Returns
    -------
    resources : list of ctabatch.compute.resource.Resource
        One a site.
    notes : list of str
        What concerns no single site.
    """
    url = settings.dirac.url
    with dirac_connection(url, settings.patience) as connection:
        known = connection.run(_ask(connection))
    waiting, running = _load(known["jobs"])
    pilots = _pilots(known["pilots"])
    operations = known["config"].get("Operations") or {}
    vo = operations.get(known["user"].vo) or operations.get("Defaults") or {}
    computing = (known["config"].get("Resources") or {}).get("Computing") or {}
    platforms = tuple(sorted(computing.get("OSCompatibility") or {}))
    max_cpu_time = (vo.get("JobDescription") or {}).get("MaxCPUTime")
    walltime = max_cpu_time / settings.dirac.cpu_power if max_cpu_time else None
    resources = []
    for name, site in sorted(known["sites"].items()):
        limits = _limits(settings, name)
        own = limits.walltime.to_value("s") if limits.walltime is not None else None
        here = dict(sorted(pilots[name].items()))
        # a pilot that runs without a job takes the next one
        idle = max(0, here.get("Running", 0) - running[name])
        status, usable = _status(site.all)
        resources.append(
            Resource(
                backend="dirac",
                name=name,
                usable=usable,
                status=status,
                cpus=limits.cpus,
                memory_bytes=_bytes(limits.memory),
                walltime_s=min((t for t in (own, walltime) if t is not None), default=None),
                disk_free_bytes=_bytes(limits.disk),
                slots_free=idle if here and usable else None,
                waiting=waiting[name],
                running=running[name],
                pilots=here,
                platforms=platforms,
            )
        )
    return resources, _notes(known, waiting)


async def _ask(connection) -> dict:
    """Ask for everything at once."""

    def call(what, function):
        return connection.call(what, function)

    user = await call("ask who I am", lambda api: api.auth.userinfo())
    names = ("config", "sites", "elements", "pilots", "jobs")
    answers = await asyncio.gather(
        call("ask for the configuration", lambda api: api.config.serve_config()),
        call("ask for the sites", lambda api: api.rss.get_site_status()),
        call("ask for the computing elements", lambda api: api.rss.get_compute_status()),
        call("count the pilots", lambda api: api.pilots.summary(grouping=["GridSite", "Status"])),
        call("count the jobs", lambda api: api.jobs.summary(grouping=["Site", "Status"])),
    )
    return {"user": user, **dict(zip(names, answers, strict=True))}


def _load(rows) -> tuple[Counter, Counter]:
    """Waiting and running jobs by site; those bound to none under the empty name."""
    waiting, running = Counter(), Counter()
    for row in rows:
        site = "" if row.get("Site") in _NO_SITE else row["Site"]
        if row["Status"] in _WAITING:
            waiting[site] += row["count"]
        elif row["Status"] in _RUNNING:
            running[site] += row["count"]
    return waiting, running


def _pilots(rows) -> dict[str, Counter]:
    """Pilots under way, by site and status."""
    found: dict[str, Counter] = defaultdict(Counter)
    for row in rows:
        if row["Status"] in _PILOTS:
            found[row["GridSite"]][row["Status"]] += row["count"]
    return found


def _status(status) -> tuple[str, bool]:
    """Say in words how a site is, and whether it takes jobs."""
    # diracx-client 0.7 knows no member of this union: all that the server sent is in here
    sent = {**vars(status), **(getattr(status, "additional_properties", None) or {})}
    if not sent.get("allowed", True):
        return f"banned: {sent.get('reason') or 'no reason given'}", False
    warning = sent.get("warnings")
    return (f"degraded: {warning}" if warning else "active"), True


def _limits(settings: ComputeSettings, name: str) -> SiteLimits:
    for pattern, limits in settings.dirac.limits.items():
        if matches(pattern, name):
            return limits
    return SiteLimits()


def _bytes(quantity) -> int | None:
    return None if quantity is None else int(quantity.to_value("byte"))


def _notes(known: dict, waiting: Counter) -> list[str]:
    notes = []
    if waiting[""]:
        notes.append(f"DIRAC: {waiting['']} waiting jobs may go to any site")
    for name, element in sorted(known["elements"].items()):
        status, usable = _status(element.all)
        if not usable:
            notes.append(f"DIRAC: computing element {name} is {status}")
    if not known["sites"]:
        notes.append("DIRAC: the server's resource status system knows no site")
    return notes
