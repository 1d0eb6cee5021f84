"""The requests of a closure test, made from its configuration (``config/closure.yaml``).

The IRF is produced from the configuration itself, once. Each seed has an observation, and an
analysis of that observation alone; one reprocessing makes the DL3 of all.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any


def key_of(seed: int) -> str:
    """Name of a seed in files and requests."""
    return f"seed-{seed:04d}"


def elsewhere(config: Mapping[str, Any], results: str) -> dict[str, Any]:
    """Put results, and the embedded lake, into another folder."""
    changed = _with(config, lake={"local": {"folder": f"{results}/lake"}})
    return changed | {"results": results}


def observation_id(config: Mapping[str, Any], seed: int) -> int:
    """Observation id of a seed: the configuration's, and the seed."""
    return config["observation"].get("obs_id", 1000) + seed


def observation_request(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Request of the observation of a seed, for ``cta-batch observe``."""
    return _with(config, observation={"seed": seed, "obs_id": observation_id(config, seed)})


def reprocessing_request(config: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """Request of the DL3 of all seeds, for the target ``reprocessing``."""
    observations = [observation_id(config, seed) for seed in seeds]
    return _with(config, reprocessing={"observations": observations})


def analysis_request(config: Mapping[str, Any], seed: int, did: str) -> dict[str, Any]:
    """Request of the analysis of a seed's DL3 `did`, for the target ``analysis``."""
    name = f"{config['analysis']['name']}-{key_of(seed)}"
    return _with(config, analysis={"name": name, "data": {"dids": [did]}})


def dl3_of_seeds(
    config: Mapping[str, Any], seeds: Sequence[int], summary: Mapping[str, Any]
) -> dict[int, str]:
    """Find the DL3 of each seed.

    Parameters
    ----------
    config : mapping
        The configuration.
    seeds : sequence of int
        Seeds.
    summary : mapping
        Content of ``summary.json`` of the reprocessing.

    Returns
    -------
    dict
        Seed to the DID of its DL3; a seed whose observation was not processed is left out.
    """
    dids = {
        int(key.removeprefix("ob")): did
        for key, did in (summary["existing"] | summary["made"]).items()
    }
    numbers = {seed: observation_id(config, seed) for seed in seeds}
    return {seed: dids[number] for seed, number in numbers.items() if number in dids}


def _with(config, **changes):
    content = copy.deepcopy(dict(config))
    for section, values in changes.items():
        content[section] = content[section] | values
    return content
