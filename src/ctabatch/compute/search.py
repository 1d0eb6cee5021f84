"""Search for compute resources: asks the back ends, filters by need, ranks."""

from dataclasses import replace

from ctabatch.compute.resource import Need, NoResourceError, Resource, judge, rank
from ctabatch.config.compute import matches
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError


def find_resources(
    config: Configuration, need: Need | None = None, backends=None
) -> list[Resource]:
    """Find the resources that meet a need, the best first.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        Its sections ``compute`` and, for the nearness of data, ``lake``.
    need : ctabatch.compute.resource.Need, optional
        What one job needs; one processor by default.
    backends : sequence of str, optional
        Back ends to ask; those of ``compute.backends`` by default.

    Returns
    -------
    list of ctabatch.compute.resource.Resource
        At least one; see `ctabatch.compute.resource.score_of` for the order.

    Raises
    ------
    ctabatch.compute.resource.NoResourceError
        None meets the need; says what the nearest to it offer.
    ctabatch.errors.InputError
        A name of ``compute.pin`` or ``compute.ban`` is unknown, or the query finds no file.
    ctabatch.errors.BatchError
        A server does not answer or refuses.
    """
    return fitting(survey(config, need, backends)[0])


def fitting(found: list[Resource]) -> list[Resource]:
    """Keep the resources that meet the need; none is a `NoResourceError`."""
    kept = [resource for resource in found if not resource.unmet]
    if not kept:
        offers = [f"{item.name}: {'; '.join(item.unmet)}" for item in found[:3]]
        raise NoResourceError(
            f"no compute resource meets the need; the best are {' | '.join(offers)}",
            "ask for less, or widen compute.backends, compute.pin or compute.ban",
        )
    return kept


def survey(
    config: Configuration, need: Need | None = None, backends=None
) -> tuple[list[Resource], list[str]]:
    """List all resources that are not banned, also those that don't meet the need.

    Parameters
    ----------
    config, need, backends
        As for `find_resources`.

    Returns
    -------
    resources : list of ctabatch.compute.resource.Resource
        Those that meet the need first, the best first; `unmet` says what the others lack.
    notes : list of str
        What could not be found out.
    """
    need, settings = need or Need(), config.compute
    asked = tuple(backends or settings.backends)
    resources, notes = [], []
    for backend in dict.fromkeys(asked):
        found, more = _ask(backend, config, need)
        resources += found
        notes += more
    chosen = _choose(resources, settings, complete=set(settings.backends) <= set(asked))
    if need.near is not None:
        from ctabatch.compute.nearness import near_fractions

        fractions, more = near_fractions(config, need.near, chosen)
        chosen = [replace(item, near_fraction=fractions[item.name]) for item in chosen]
        notes += more
    return rank(judge(item, need) for item in chosen), notes


def _ask(backend: str, config: Configuration, need: Need) -> tuple[list[Resource], list[str]]:
    """Resources of one back end, and notes."""
    patience = config.compute.patience
    if backend == "local":
        from ctabatch.compute.local import local_resources

        return local_resources(config.results, need), []
    if backend == "slurm":
        from ctabatch.compute.slurm import slurm_resources

        return slurm_resources(need, patience), []
    from ctabatch.compute.dirac import dirac_resources

    return dirac_resources(config.compute, need)


def _choose(resources, settings, complete: bool) -> list[Resource]:
    """Keep what is pinned and not banned; a name that stands for nothing is a mistake."""
    names = [resource.name for resource in resources]
    if complete:
        for key in ("pin", "ban"):
            for pattern in getattr(settings, key):
                if not any(matches(pattern, name) for name in names):
                    raise InputError(
                        f"no resource is called {pattern!r}", f"compute.{key}", _shown(names)
                    )
    kept = [
        resource
        for resource in resources
        if (not settings.pin or any(matches(p, resource.name) for p in settings.pin))
        and not any(matches(p, resource.name) for p in settings.ban)
    ]
    if not kept:
        raise InputError("compute.pin and compute.ban leave no resource", "compute", _shown(names))
    return kept


def _shown(names) -> str:
    names = sorted(set(names))
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "none there"
