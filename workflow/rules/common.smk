"""Configuration, and helpers of the rules: paths and the shape of the plan, nothing else."""

import json
import sys
from functools import lru_cache
from math import ceil

from snakemake.exceptions import WorkflowError

from ctabatch.concordia.plan import identity_of
from ctabatch.config.load import parse_config
from ctabatch.errors import InputError
from ctabatch.irf.corsika import simtel_options
from ctabatch.irf.tree import children, levels
from ctabatch.running import claim, describe

try:
    CONFIG = parse_config(
        config, ", ".join(map(str, workflow.configfiles)) or "configuration"
    )
except InputError as error:
    raise WorkflowError(str(error)) from None

RESULTS = str(CONFIG.results)

# before Snakemake looks at its locks
KILLED = claim(CONFIG.results) if workflow.is_main_process else {}
if left := describe(KILLED):
    print(left, file=sys.stderr)

REQUEST = json.dumps(config)

IRF = f"{RESULTS}/irf/{CONFIG.irf.name if CONFIG.irf else 'no-request'}"
# what goes into the lake beside the IRFs, so that data can be reprocessed with it
IRF_MODELS = [
    f"{IRF}/models/{name}" for name in ("energy.pkl", "classifier.pkl", "cuts.fits")
]
# the licensed image where the request names one
IRF_CONTAINER = (CONFIG.irf and CONFIG.irf.model.container) or CONFIG.pipeline.container

# Without a shared file system: what remote jobs read or write lies in the default storage. Products
# and reports stay on this machine (`local()`); there, numba's cache is of no use to the workers.
IRF_REMOTE = workflow.storage_settings.default_storage_provider is not None
IRF_COMPILED = [] if IRF_REMOTE else f"{RESULTS}/irf/compiled.json"

# What ctapipe-process reads: the run card of the open simulator, or sim_telarray's file. Patterns
# instead of input functions: they are filled in for every run.
if CONFIG.irf and CONFIG.irf.model.simulator == "corsika-simtel":
    IRF_EVENTS = f"{IRF}/simtel/{{sample}}/{{run}}.simtel.zst"
    IRF_SOURCE = "--SimTelEventSource.skip_calibration_events=True"
else:
    IRF_EVENTS = f"{IRF}/cards/{{sample}}.openiact.json"
    IRF_SOURCE = "--OpenIACTEventSource.run={run}"

CONCORDIA = (
    f"{RESULTS}/concordia/{CONFIG.concordia.name if CONFIG.concordia else 'no-request'}"
)
CONCORDIA_IDENTITY = identity_of(CONFIG.concordia)
CONCORDIA_RESOURCES = (
    {
        "mem_mb": ceil(CONFIG.concordia.memory.to_value("MB")),
        "runtime": ceil(CONFIG.concordia.walltime.to_value("min")),
    }
    if CONFIG.concordia
    else {}
)
CONCORDIA_INGEST = (
    [local(f"{CONCORDIA}/ingest.json")]
    if CONFIG.concordia and CONFIG.concordia.ingest
    else []
)

ANALYSIS = (
    f"{RESULTS}/analysis/{CONFIG.analysis.name if CONFIG.analysis else 'no-request'}"
)
ANALYSIS_MODELS = (
    [str(path) for path in CONFIG.analysis.models.candidates.values()]
    if CONFIG.analysis
    else []
)
ANALYSIS_JOBS = CONFIG.analysis.n_jobs if CONFIG.analysis else 1


def no_container(wildcards):
    """For commands that start a container themselves: they don't run in one."""
    return None


# Here, before the first rule: Snakemake renews all earlier rules at each such directive, and with paths in
# an XRootD storage they lose their own constraints by that.
wildcard_constraints:
    kept=r"dl3/ob\d+\.dl3\.fits\.gz(\.meta\.json)?|verification/ob\d+\.json",
    sample=r"[A-Za-z0-9-]+_(gamma|proton|electron)_(train|cuts|irf)",
    run=r"\d+",
    level=r"\d+",
    node=r"\d+",
    stage="geometry|energy|final",
    tool="process|train|irf",
    variant=r"[A-Za-z0-9_-]+",
    product=r"[A-Za-z0-9._-]+",
    ob=r"ob\d+",
    chunk=r"ob\d+-\d+",
    wave=r"\d+",
    dl0=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    irfkey=r"[0-9a-f]+",


def backend(wildcards):
    """Name of the executor that the jobs go to."""
    return workflow.executor_plugin.name


@lru_cache(maxsize=1)
def read_plan(path, modified):
    """Content of a plan; read once, not once a job."""
    return json.loads(Path(path).read_text())


@lru_cache(maxsize=1)
def retrieve_plan(path):
    """Content of a plan in a storage; `open` lets Snakemake retrieve it."""
    with path.open() as file:
        return json.load(file)


def any_plan(path):
    """Content of a plan, in a storage or here."""
    if path.is_storage:
        return retrieve_plan(path)
    return read_plan(path, Path(path).stat().st_mtime_ns)


def irf_the_plan():
    """The plan of the IRF request; until it is made, Snakemake comes back later."""
    return any_plan(checkpoints.irf_make_plan.get().output.plan)


def irf_tool_settings(wildcards):
    """The user's configuration of a ctapipe tool; jobs read a copy, which workers can reach."""
    return local(str(getattr(CONFIG.pipeline, wildcards.tool)))


def irf_sample(sample):
    """Numbers of a sample, such as ``nominal_gamma_train``."""
    variant, particle, kind = sample.rsplit("_", 2)
    return irf_the_plan()["production"][variant][particle][kind]


def irf_final(wildcards):
    """What the target ``irf`` stands for: the production, or the product in the lake."""
    name = "summary" if irf_the_plan()["action"] == "simulate" else "fetched"
    return local(f"{IRF}/{name}.json")


def irf_simtel_options(wildcards):
    """Options of sim_telarray for the variant of a sample."""
    return simtel_options(irf_the_plan(), wildcards.sample.rsplit("_", 2)[0])


def irf_runs(wildcards):
    """Runs that the first level of a merge tree reads; runs count from 1."""
    plan, runs = irf_the_plan(), irf_sample(wildcards.sample)["runs"]
    return [
        f"{IRF}/runs/{wildcards.sample}/{run + 1}.dl2.h5"
        for run in children(int(wildcards.node), runs, plan["merge_files"])
    ]


def irf_nodes(wildcards):
    """Nodes that a node of a higher level of a merge tree reads."""
    plan, level = irf_the_plan(), int(wildcards.level)
    below = levels(irf_sample(wildcards.sample)["runs"], plan["merge_files"])[level - 2]
    return [
        f"{IRF}/dl2/{wildcards.sample}/{wildcards.stage}-{level - 1}-{node}.dl2.h5"
        for node in children(int(wildcards.node), below, plan["merge_files"])
    ]


def irf_top(stage, sample):
    """Make an input function: the single file of a stage of a sample, top of its merge tree."""

    def top(wildcards):
        name = sample.format(variant=getattr(wildcards, "variant", "nominal"))
        width = irf_the_plan()["merge_files"]
        level = len(levels(irf_sample(name)["runs"], width))
        return f"{IRF}/dl2/{name}/{stage}-{level}-0.dl2.h5"

    return top


def irf_optional_top(stage, sample):
    """Like `irf_top`, and nothing where the plan has no such sample."""

    def top(wildcards):
        variant, particle, kind = sample.rsplit("_", 2)
        if kind not in irf_the_plan()["production"][variant][particle]:
            return []
        return irf_top(stage, sample)(wildcards)

    return top


def irf_background_option(wildcards, input):
    """Option that gives the tool of the cuts their background, where the plan has such a sample."""
    return f"-p {input.proton}" if input.get("proton") else ""


def irf_products(wildcards):
    """All products of the request, nominal first."""
    return [
        local(f"{IRF}/{name}.fits.gz") for name in irf_the_plan()["products"].values()
    ]


def irf_variant_of(wildcards):
    """The variant that a product belongs to."""
    products = irf_the_plan()["products"]
    return next(
        variant for variant, name in products.items() if name == wildcards.product
    )


def irf_computed(wildcards):
    """The IRF of ctapipe that a product is made of."""
    return f"{IRF}/irf/{irf_variant_of(wildcards)}.fits.gz"


def irf_benchmarks(wildcards):
    """Benchmarks of ctapipe of all variants."""
    return [
        f"{IRF}/irf/{variant}.benchmarks.fits.gz"
        for variant in irf_the_plan()["products"]
    ]


def irf_measured(wildcards):
    """Snakemake's benchmark files, as inputs: of remote jobs they have to be fetched."""
    if not IRF_REMOTE:
        return []
    plan = irf_the_plan()
    names = ["train_energy", "train_classifier", "cuts"]
    names += [f"irf/{variant}" for variant in plan["products"]]
    samples = [
        (f"{variant}_{particle}_{kind}", numbers["runs"])
        for variant, particles in plan["production"].items()
        for particle, kinds in particles.items()
        for kind, numbers in kinds.items()
    ]
    for sample, runs in samples:
        first, *higher = levels(runs, plan["merge_files"])
        stage = "energy" if sample.endswith("_train") else "final"
        names += [f"process/{sample}-{run + 1}" for run in range(runs)]
        names += [f"merge/{sample}-1-{node}" for node in range(first)]
        names += [f"apply/{sample}-{stage}-{node}" for node in range(first)]
        names += [
            f"merge/{sample}-{stage}-{level}-{node}"
            for level, nodes in enumerate(higher, start=2)
            for node in range(nodes)
        ]
    return [f"{IRF}/benchmarks/{name}.tsv" for name in names]


def concordia_runs(wildcards):
    """Records of all runs of the CONCORDIA request, each in the folder of its run."""
    path = checkpoints.concordia_make_plan.get().output[0]
    plan = read_plan(path, Path(path).stat().st_mtime_ns)
    first = plan["first_run"]
    return [
        local(f"{CONCORDIA}/runs/{run:06d}/run.json")
        for run in range(first, first + plan["runs"])
    ]


def analysis_reduced(wildcards):
    """The reduced groups of an analysis, in order."""
    groups = any_plan(checkpoints.analysis_make_plan.get().output[0])["groups"]
    return [f"{ANALYSIS}/work/reduced/{group}.tar" for group in range(groups)]
