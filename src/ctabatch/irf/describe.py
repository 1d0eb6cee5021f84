"""Plans in a few lines for people."""

from ctabatch.compute.describe import describe_resources


def describe_plan(plan: dict) -> str:
    """Say in a few lines what a plan will do."""
    lines = [f"request    {plan['name']}  (digest {plan['digest'][:12]})"]
    lines += [f"product    {name}" for name in plan["products"].values()]
    conditions = plan["conditions"]
    lines.append(
        f"conditions {conditions['site']}, {conditions['start']} to {conditions['end']}: "
        f"atmosphere {conditions['atmosphere']}, NSB x {conditions['nsb']:g}, "
        f"{len(conditions['telescopes'])} telescopes (version {conditions['version']})"
    )
    for entry in plan["not_used"]:
        lines.append(f"not used   {entry['did']} ({entry['status']})")
    if plan["action"] == "fetch":
        lines += [f"exists     {did}" for did in plan["existing"].values()]
        lines.append("to do      fetch; nothing is simulated")
        return "\n".join(lines)
    for variant, needs in plan["statistics"]["needs"].items():
        lines += [
            f"{particle:10s} {need['showers']:,} showers for the {variant} IRF: {need['reason']}"
            for particle, need in needs.items()
        ]
    cost = plan["cost"]
    lines.append(
        f"to do      {cost['showers']:,} showers in {cost['jobs']} jobs, about "
        f"{cost['cpu_hours']:.2g} CPU hours and {cost['storage_bytes'] / 1e9:.2g} GB"
    )
    lines += [f"resource   {text}" for text in describe_resources(plan["resources"])]
    if plan["disclaimer"]:
        lines.append(f"note       {plan['disclaimer']}")
    return "\n".join(lines)
