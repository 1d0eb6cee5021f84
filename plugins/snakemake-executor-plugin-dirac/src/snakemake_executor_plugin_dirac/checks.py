"""What can be known before a job is submitted: login, sites, limits."""

import difflib

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_dirac.errors import ServerRefusedError
from snakemake_executor_plugin_dirac.jdl import Needs
from snakemake_executor_plugin_dirac.settings import WORD, words


class Limits:
    """The sites and limits that a server knows.

    Parameters
    ----------
    settings : ExecutorSettings
        Limits that the user or the site's profile gives.
    """

    def __init__(self, settings):
        self.settings = settings
        self.sites: dict[str, str | None] = {}
        self.max_cpu_time = settings.max_cpu_time

    async def load(self, connection, user, logger) -> None:
        """Ask the server; what it does not tell is not checked."""
        patience = self.settings.start_patience * 60
        try:
            known = await connection.call(
                "ask for the sites", lambda api: api.rss.get_site_status(), patience=patience
            )
            self.sites = {name: _banned(site) for name, site in known.items()}
            if not self.max_cpu_time:
                config = await connection.call(
                    "ask for the limits", lambda api: api.config.serve_config(), patience=patience
                )
                operations = config.get("Operations", {})
                section = operations.get(user.vo) or operations.get("Defaults") or {}
                self.max_cpu_time = (section.get("JobDescription") or {}).get("MaxCPUTime") or 0
        except ServerRefusedError as error:
            logger.warning(f"{error}; sites and limits are not checked before submission.")
        self.check_sites(words(self.settings.sites), "--dirac-sites")
        self.check_sites(words(self.settings.banned_sites), "--dirac-banned-sites")
        for name in words(self.settings.sites):
            if reason := self.sites.get(name):
                logger.warning(f"DIRAC: the site {name} is banned at the moment ({reason}).")

    def check_sites(self, names, where: str) -> None:
        """Refuse sites that the server does not know: DIRAC would fail the jobs later."""
        for name in names:
            if self.sites and name not in self.sites:
                near = difflib.get_close_matches(name, self.sites, n=3, cutoff=0.4)
                shown = near or sorted(self.sites)[:10]
                raise WorkflowError(
                    f"DIRAC executor: {where}: unknown site {name!r} (known: {', '.join(shown)}"
                    f"{'' if near or len(self.sites) <= 10 else ', ...'})"
                )

    def check(self, needs: Needs) -> None:
        """Refuse what no site can give: DIRAC would let the job wait for ever."""
        for what, value, limit, setting in (
            ("processors (threads)", needs.processors, self.settings.max_processors, "processors"),
            ("memory (mem_mb)", needs.memory, self.settings.max_memory, "memory"),
            ("CPUTime (runtime)", needs.cpu_time, self.max_cpu_time, "cpu-time"),
        ):
            if limit and value > limit:
                raise WorkflowError(
                    f"it asks for {what} {value}, no site gives more than {limit} "
                    f"(--dirac-max-{setting} or the server's configuration)"
                )
        open_sites = [n for n in needs.sites or self.sites if n not in needs.banned_sites]
        if (needs.sites or self.sites) and not open_sites:
            raise WorkflowError("all sites where it may run are in dirac_banned_sites")


def _banned(site) -> str | None:
    # diracx-client 0.7 knows no member of this union: all that the server sent is in here
    sent = {**vars(site.all), **(getattr(site.all, "additional_properties", None) or {})}
    return None if sent.get("allowed", True) else sent.get("reason") or "banned"


def check_login(settings, user) -> None:
    """Refuse to run under another virtual organisation or group than the settings ask for."""
    for what, wanted, got in (
        ("virtual organisation", settings.vo, user.vo),
        ("group", settings.group, user.dirac_group),
    ):
        if wanted and wanted != got:
            raise WorkflowError(
                f"DIRAC executor: the login is for the {what} {got}, the settings want {wanted}: "
                f"run `dirac login {settings.vo or user.vo} --group {settings.group or 'GROUP'}`"
            )


def needs_of(job, settings) -> Needs:
    """Turn the resources of a rule into a request for DIRAC.

    ``threads``, ``mem_mb``, ``runtime`` (minutes), ``disk_mb``, ``dirac_sites``,
    ``dirac_banned_sites``, ``dirac_tags``, ``dirac_cpu_time`` are taken from the rule; the
    settings stand in for what it does not say.
    """
    resources = job.resources
    processors = int((resources.get("_cores") if job.is_group() else job.threads) or 1)
    runtime = resources.get("runtime")
    cpu_time = int(runtime * 60 * settings.cpu_power) if runtime else settings.cpu_time
    listed = {}
    for name in ("sites", "banned_sites", "tags"):
        chosen = words(resources.get(f"dirac_{name}") or getattr(settings, name))
        for item in chosen:
            if not WORD.fullmatch(item):
                raise WorkflowError(f"dirac_{name}: {item!r} is not a name")
        listed[name] = tuple(chosen)
    return Needs(
        processors=max(processors, settings.processors),
        cpu_time=int(resources.get("dirac_cpu_time") or cpu_time),
        memory=int(resources.get("mem_mb") or settings.memory),
        disk=int(resources.get("disk_mb") or 0),
        **listed,
    )
