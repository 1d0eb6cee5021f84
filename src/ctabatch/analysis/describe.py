"""Plans and results in a few lines for people."""

from collections import Counter
from pathlib import Path

from ctabatch.files import read_json
from ctabatch.plans import finished


def describe_plan(plan: dict) -> str:
    """Say what an analysis will do."""
    request, rows = plan["request"], plan["observations"]
    hours = sum(row.get("livetime_s", 0) for row in rows) / 3600
    offsets = [row["offset_deg"] for row in rows]
    irfs = Counter(row["irf"]["did"] or row["irf"]["status"] for row in rows)
    volume = plan["volume"]
    lines = [
        f"analysis      {plan['name']} ({request['dimension']}), digest {plan['digest'][:12]}",
        f"for           {plan['person']}",
        f"observations  {len(rows)}, {hours:.2f} h, offsets {min(offsets):.2f} to "
        f"{max(offsets):.2f} deg, in {plan['groups']} groups",
        f"volume        {volume['files']} files, {volume['bytes'] / 1e6:.1f} MB"
        + (f", {volume['on_tape']} on tape" if volume["on_tape"] else ""),
    ]
    lines += [f"IRF           {name} ({number} observations)" for name, number in irfs.items()]
    statuses = {row["irf"]["status"] for row in rows if row["irf"]["did"]} - {"valid"}
    if statuses:
        lines.append(
            f"note          IRFs that are {', '.join(sorted(statuses))}: reprocess the data"
        )
    lines += [
        f"models        {', '.join(plan['models'])}; target {request['models']['source']}",
        f"cost          about {plan['cost']['cpu_hours']:.2g} CPU hours in {plan['cost']['jobs']} jobs",
    ]
    for title, items in (("not usable", plan["bad"]), ("left out", plan["left_out"])):
        lines += [
            f"{title:<13} {item['obs_id'] or item['did']} {item['reason']}" for item in items[:20]
        ]
        if len(items) > 20:
            lines.append(f"{title:<13} and {len(items) - 20} more")
    if plan["disclaimer"]:
        lines.append(f"note          {plan['disclaimer']}")
    return "\n".join(lines)


def read_results(folder: Path) -> dict:
    """Read summary and places of a finished analysis."""
    content = read_json(finished(folder, "analysis show", "a folder below results/analysis"))
    saved = folder / "saved.json"
    content["saved"] = read_json(saved) if saved.is_file() else None
    content["report"] = str(folder / "report.html")
    return content


def describe_results(content: dict) -> str:
    """Say in a few lines what came out."""
    on = content["on_region"]
    excess = "unknown" if on["excess"] is None else f"{on['excess']:.1f}"
    significance = "" if on["sqrt_ts"] is None else f", {on['sqrt_ts']:.1f} sigma"
    lines = [
        f"counts     {on['counts']} in the on region, excess {excess}{significance}, "
        f"{on['livetime_s'] / 3600:.2f} h",
    ]
    if not content["converged"]:
        lines.append("fit        no candidate converged; nothing was saved")
    else:
        best = content["candidates"][content["best"]]
        lines.append(f"best model {content['best']} (AIC {best['aic']:.1f}, TS {best['ts']:.1f})")
        for item in content["parameters"]:
            if not item["frozen"] and item["error"] is not None:
                unit = f" {item['unit']}" if item["unit"] else ""
                lines.append(
                    f"           {item['model']} {item['name']} = {item['value']:.4g} +- "
                    f"{item['error']:.2g}{unit}"
                )
        flux = content["integral_flux"]
        if content["detected"]:
            lines.append(f"flux       ({flux['flux']:.3g} +- {flux['flux_err']:.2g}) cm-2 s-1")
        else:
            lines.append(
                f"flux       not detected: below {flux['flux_ul']:.3g} cm-2 s-1 (95 % confidence)"
            )
    for item in content["bad_observations"]:
        lines.append(f"not usable {item['obs_id'] or item['did']}: {item['reason']}")
    saved = content["saved"]
    if saved and saved["products"]:
        lines.append(f"in lake    {saved['dataset']}, {len(saved['products'])} files")
    if saved and saved["folder"]:
        lines.append(f"folder     {saved['folder']}")
    lines.append(f"report     {content['report']}")
    if content["disclaimer"]:
        lines.append(f"note       {content['disclaimer']}")
    return "\n".join(lines)
