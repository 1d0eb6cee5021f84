"""Input cards of CORSIKA 7 (IACT) for the licensed chain ``corsika-simtel``.

Nothing of CORSIKA or sim_telarray is part of this project: the user's image holds both, and offers
the commands ``run-corsika CARD OUTPUT`` and ``run-simtel [OPTIONS] INPUT OUTPUT``.
"""

import math

import jinja2

from ctabatch.config.irf import IRFRequest
from ctabatch.errors import InputError
from ctabatch.identity import digest

#: CORSIKA particle codes.
PARTICLE_CODES = {"gamma": 1, "electron": 3, "proton": 14}

#: Geomagnetic field of the sites in microtesla, horizontal (to north) and vertical (downward)
#: component, and declination in deg: IGRF for about 2020, rounded.
GEOMAGNETIC_FIELD = {
    "CTAO-North": (30.6, 23.6, -4.6),
    "CTAO-South": (20.9, -9.1, -2.5),
}

#: Radii in m of the spheres around telescopes within which photons are kept.
SPHERES = {"LST": 16.0, "MST": 9.0, "SST": 5.0}

#: Largest value of a CORSIKA seed.
_LARGEST_SEED = 900_000_000


def corsika_card(plan: dict, sample: str, run: int) -> str:
    """Render the input card of one run.

    Parameters
    ----------
    plan : dict
        Content of ``plan.json``.
    sample : str
        Name of the sample, such as ``nominal_gamma_irf``.
    run : int
        Run number from 1; with the request's digest and the sample it decides the seeds.

    Returns
    -------
    str
        The card.

    Raises
    ------
    ctabatch.errors.InputError
        The plan has no such sample or run.
    """
    variant, particle, kind = sample.rsplit("_", 2)
    try:
        numbers = plan["production"][variant][particle][kind]
    except KeyError:
        raise InputError(f"the plan has no sample {sample!r}", "--sample") from None
    if not 1 <= run <= numbers["runs"]:
        raise InputError(f"sample {sample!r} has no run {run}", "--run", f"1 to {numbers['runs']}")
    canonical = plan["canonical"]
    thrown = canonical["simulation"]["particles"][particle]
    request = IRFRequest.model_validate(plan["request"])
    site = canonical["layout"]["site"]
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("ctabatch.irf"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("corsika.card.j2")
    return template.render(
        run=run,
        showers=numbers["showers_per_run"],
        code=PARTICLE_CODES[particle],
        index=thrown["spectral_index"],
        energies=[_joule_to_gev(thrown[key]["value"]) for key in ("energy_min", "energy_max")],
        zenith=request.pointing.zenith.to_value("deg"),
        # CORSIKA gives the direction in which the shower moves, and counts it from magnetic north
        azimuth=(request.pointing.azimuth.to_value("deg") + 180) % 360,
        cone=math.degrees(thrown["view_cone"]["value"]),
        scatter_cm=100 * thrown["scatter_radius"]["value"],
        altitude_cm=100 * site["altitude"]["value"],
        field=GEOMAGNETIC_FIELD[site["name"]],
        seeds=[_seed(plan["digest"], sample, run, stream) for stream in range(4)],
        telescopes=[
            {axis: f"{100 * telescope[axis]['value']:.0f}" for axis in ("x", "y", "z")}
            | {"radius": f"{100 * SPHERES[telescope['type'].partition('-')[0]]:.0f}"}
            for telescope in canonical["layout"]["telescopes"]
        ],
    )


def simtel_options(plan: dict, variant: str) -> str:
    """Options of ``run-simtel`` for a variant: pointing, night sky, throughput.

    Raises
    ------
    ctabatch.errors.InputError
        The variation can't be made by sim_telarray's options.
    """
    request = IRFRequest.model_validate(plan["request"])
    scale = {"nsb": 1.0, "optical_throughput": 1.0}
    for item in request.systematics:
        if item.name == variant:
            if item.kind not in scale:
                raise InputError(
                    f"systematic {item.name!r} of kind {item.kind!r} is not available with "
                    "corsika-simtel",
                    "irf.systematics",
                    ", ".join(sorted(scale)),
                )
            scale[item.kind] += item.change.to_value("")
    options = {
        "telescope_zenith_angle": request.pointing.zenith.to_value("deg"),
        "telescope_azimuth_angle": request.pointing.azimuth.to_value("deg"),
        "nsb_scaling_factor": plan["conditions"]["nsb"] * scale["nsb"],
        "telescope_transmission": scale["optical_throughput"],
    }
    return " ".join(f"-C {name}={value:g}" for name, value in options.items())


def _joule_to_gev(value: float) -> float:
    return value / 1.602176634e-10


def _seed(request_digest: str, sample: str, run: int, stream: int) -> int:
    return 1 + int(digest([request_digest, sample, run, stream]), 16) % _LARGEST_SEED
