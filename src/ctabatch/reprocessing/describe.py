"""Plans and summaries of a reprocessing in a few lines for people."""

from collections.abc import Mapping
from typing import Any

from ctabatch.compute.describe import describe_resources

#: Observations and products that are listed.
_LISTED = 10


def _size(count: float | None) -> str:
    if count is None:
        return "unlimited"
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - _LISTED
    return lines[:_LISTED] + ([f"           and {more} more"] if more > 0 else [])


def describe_plan(plan: Mapping[str, Any]) -> str:
    """Say in a few lines what a plan will do."""
    staging, cost = plan["staging"], plan["cost"]
    lines = [f"request    {plan['name']}  (digest {plan['digest'][:12]})"]
    lines += _some(
        [
            f"process    observation {item['obs_id']}: {len(item['chunks'])} files, "
            f"{_size(item['bytes'])}; IRF {_base(plan, item)} "
            f"({item['match']['zenith_deg']:.3g} deg in zenith, "
            f"{item['match']['azimuth_deg']:.3g} deg in azimuth)"
            for item in plan["observations"].values()
        ]
    )
    lines += _some(
        [
            f"exists     observation {item['obs_id']}: {item['existing']}"
            for item in plan["existing"].values()
        ]
    )
    lines += _some([f"left out   {item['reason']}" for item in plan["skipped"]])
    if plan["action"] == "nothing":
        lines.append("to do      nothing: all DL3 of the request exist")
        return "\n".join(lines)
    lines.append(
        f"volume     {plan['volume']['files']} files, {_size(plan['volume']['bytes'])}; "
        f"{_size(staging['bytes'])} to stage to {staging['rse']} (quota left "
        f"{_size(staging['quota_left'])}, free {_size(staging['free'])})"
    )
    waves = plan["waves"]
    sizes = f" of at most {_size(max(wave['bytes'] for wave in waves))}"
    lines.append(f"waves      {len(waves)}{sizes if len(waves) > 1 else ''}")
    lines.append(
        f"to do      {cost['events']:,} events in {cost['jobs']} jobs, about "
        f"{cost['cpu_hours']:.2g} CPU hours and {_size(cost['storage_bytes'])}"
    )
    lines += [f"resource   {text}" for text in describe_resources(plan["resources"])]
    return "\n".join(lines)


def _base(plan: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    return plan["irfs"][item["irf"]]["files"]["irf"]["did"].rpartition("/")[2]


def describe_summary(content: Mapping[str, Any]) -> str:
    """Say in a few lines what came out."""
    lines = _some([f"in lake    {did}" for did in content["made"].values()])
    lines += _some([f"existed    {did}" for did in content["existing"].values()])
    lines += _some([f"left out   {item['reason']}" for item in content["skipped"]])
    lines += _some([f"superseded {did}" for did in content["superseded"]])
    lines.append(f"index      {content['index']}")
    if content["made"]:
        lines.append(
            f"events     {content['events']:,} in {content['livetime_s']:,.5g} s of live time, from "
            f"{content['dl0']['files']} DL0 files in {content['waves']} waves"
        )
        lines.append(
            f"cost       {content['cpu_hours']:.2g} CPU hours (planned "
            f"{content['planned_cpu_hours']:.2g}) in {content['wall_hours']:.2g} hours"
        )
    else:
        lines.append("done       nothing had to be processed")
    cleaned = content["cleaned"]
    lines.append(
        f"left       {cleaned['staging_requests']} staging requests, "
        f"{cleaned['temporary_files']} temporary files, {len(cleaned['copies_left'])} staged copies "
        f"on {cleaned['rse']}"
    )
    return "\n".join(lines)
