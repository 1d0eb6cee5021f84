"""What the rules of the reprocessing read: looked up in its plan."""

REPRO_MODELS = ("energy.pkl", "classifier.pkl", "cuts.fits", "irf.fits.gz")
REPRO = (
    f"{RESULTS}/reprocessing/"
    f"{CONFIG.reprocessing.name if CONFIG.reprocessing else 'no-request'}"
)
# the configurations that the IRF was made with: the plan refuses any other
REPRO_PROCESS, REPRO_SELECT = str(CONFIG.pipeline.process), str(CONFIG.pipeline.irf)
# what verification allows is what matching allowed
REPRO_LIMITS = " ".join(
    f"--max-irf-{name} {getattr(CONFIG.reprocessing.matching, name).to_value('deg'):g}"
    for name in (("zenith", "azimuth") if CONFIG.reprocessing else ())
)


def repro_the_plan():
    """The plan of the reprocessing, with what a job is looked up by."""
    path = checkpoints.reprocessing_make_plan.get().output.plan
    modified = None if path.is_storage else Path(path).stat().st_mtime_ns
    return repro_tables(path, modified)


@lru_cache(maxsize=1)
def repro_tables(path, modified):
    """Plan, and tables: chunk -> DL0 file, file -> wave, chunk -> key of IRF."""
    plan = any_plan(path)
    chunks = [
        (chunk, item)
        for item in plan["observations"].values()
        for chunk in item["chunks"]
    ]
    files = {chunk["key"]: chunk["name"] for chunk, _ in chunks}
    return plan | {
        "file_of": files,
        "irf_of": {chunk["key"]: item["irf"] for chunk, item in chunks},
        "wave_of": {
            files[key]: number
            for number, wave in enumerate(plan["waves"], 1)
            for key in wave["files"]
        },
    }


def repro_wave_before(wildcards):
    """A wave begins when the one before it is released."""
    number = int(wildcards.wave)
    before = f"{REPRO}/waves/{number - 1}.released.json"
    return ancient(local(before)) if number > 1 else []


def repro_wave_of_file(wildcards):
    """A file is read when its wave is on disk."""
    number = repro_the_plan()["wave_of"][wildcards.dl0]
    return ancient(local(f"{REPRO}/waves/{number}.staged.json"))


def repro_file_of_chunk(wildcards):
    """DL0 file of a chunk."""
    return f"{REPRO}/dl0/{repro_the_plan()['file_of'][wildcards.chunk]}"


def repro_model(name):
    """Make an input function: a model, or the IRF, that an observation is processed with."""

    def model(wildcards):
        plan = repro_the_plan()
        if "chunk" in wildcards.keys():
            key = plan["irf_of"][wildcards.chunk]
        else:
            key = plan["observations"][wildcards.ob]["irf"]
        return f"{REPRO}/models/{key}/{name}"

    return model


def repro_chunks(wildcards):
    """Processed chunks of an observation."""
    chunks = repro_the_plan()["observations"][wildcards.ob]["chunks"]
    return [f"{REPRO}/dl2/{chunk['key']}.final.dl2.h5" for chunk in chunks]


def repro_processed_of_wave(wildcards):
    """What must be there before the disk copies of a wave are given up."""
    keys = repro_the_plan()["waves"][int(wildcards.wave) - 1]["files"]
    return [f"{REPRO}/dl2/{key}.geometry.dl2.h5" for key in keys]


def repro_ingested(wildcards):
    """All observations of the plan, ingested."""
    return [
        local(f"{REPRO}/ingest/{key}.json") for key in repro_the_plan()["observations"]
    ]


def repro_released(wildcards):
    """All waves of the plan, released."""
    count = len(repro_the_plan()["waves"])
    return [
        local(f"{REPRO}/waves/{number}.released.json") for number in range(1, count + 1)
    ]


def repro_failed_plan(wildcards):
    """The plan of a run that failed, if there was one."""
    path = f"{REPRO}/plan.failed.json"
    return local(path) if Path(path).is_file() else []


def repro_measured(wildcards):
    """Snakemake's benchmark files, as inputs: of remote jobs they have to be fetched."""
    if not IRF_REMOTE:
        return []
    plan = repro_the_plan()
    names = [f"dl3/{key}" for key in plan["observations"]]
    names += [
        f"{step}/{key}" for key in plan["file_of"] for step in ("process", "apply")
    ]
    return [f"{REPRO}/benchmarks/{name}.tsv" for name in names]


def repro_benchmarks(wildcards, input):
    """Folder of the benchmark files, on this machine."""
    if not input.measured:
        return f"{REPRO}/benchmarks"
    return Path(input.measured[0]).parent.parent  # before there is a plan it is no path


def repro_clean_up():
    """After a failure: give up disk copies and remove temporary files, if there is a plan."""
    plan, summary = Path(REPRO, "plan.json"), Path(REPRO, "summary.json")
    if not plan.is_file():
        return
    if not summary.is_file() or summary.stat().st_mtime < plan.stat().st_mtime:
        shell(
            "echo {REQUEST:q} | cta-batch reprocessing clean --config - --plan {plan}"
        )
