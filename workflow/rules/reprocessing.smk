"""Reprocessing of observations: plan, stage in waves, process, DL3, verify, ingest, release.

As in the analysis, jobs on the grid read and write where they reach it, plan and products among them
below ``work/``; what is marked local() stays on this machine. So does the plan that people look at.
"""


localrules:
    reprocessing,
    reprocessing_plan,
    reprocessing_make_plan,
    reprocessing_keep,
    reprocessing_stage,
    reprocessing_fetch,
    reprocessing_models,
    reprocessing_observation,
    reprocessing_ingest,
    reprocessing_release,
    reprocessing_index,
    reprocessing_clean,
    reprocessing_summary,


rule reprocessing:
    input:
        local(f"{REPRO}/summary.json"),
    log:
        f"{REPRO}/logs/show.log",
    params:
        folder=subpath(input[0], parent=True),
    shell:
        "cta-batch reprocessing show {params.folder} | tee {log}"


rule reprocessing_plan:
    input:
        f"{REPRO}/work/plan.json",
    log:
        f"{REPRO}/logs/show-plan.log",
    shell:
        "cta-batch reprocessing show --plan {input} | tee {log}"


# a run that failed leaves its plan under another name: this one makes a new one
checkpoint reprocessing_make_plan:
    input:
        failed=repro_failed_plan,
        process=local(REPRO_PROCESS),
        select=local(REPRO_SELECT),
    output:
        plan=f"{REPRO}/work/plan.json",
        process=f"{REPRO}/work/process.yaml",
        select=f"{REPRO}/work/select.yaml",
    log:
        f"{REPRO}/logs/plan.log",
    retries: 0
    params:
        config=REQUEST,
        plan=f"{REPRO}/plan.json",
    shell:
        "echo {params.config:q} | cta-batch reprocessing plan --config - --output {params.plan}"
        " --job {output.plan} 2>&1 | tee {log}"
        " && cp {input.process} {output.process} && cp {input.select} {output.select}"


rule reprocessing_keep:
    input:
        f"{REPRO}/work/{{kept}}",
    output:
        local(f"{REPRO}/{{kept}}"),
    log:
        f"{REPRO}/logs/keep/{{kept}}.log",
    shell:
        "cp {input} {output} 2> {log}"


rule reprocessing_stage:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        before=repro_wave_before,
    output:
        local(f"{REPRO}/waves/{{wave}}.staged.json"),
    log:
        f"{REPRO}/logs/stage/{{wave}}.log",
    retries: 0
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch reprocessing stage --config - --plan {input.plan}"
        " --wave {wildcards.wave} --output {output} 2>&1 | tee {log}"


rule reprocessing_fetch:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        staged=repro_wave_of_file,
    output:
        temp(f"{REPRO}/dl0/{{dl0}}"),
    log:
        f"{REPRO}/logs/fetch/{{dl0}}.log",
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch reprocessing fetch --config - --plan {input.plan}"
        " --file {wildcards.dl0} --output {output} 2> {log}"


rule reprocessing_models:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
    output:
        [temp(f"{REPRO}/models/{{irfkey}}/{name}") for name in REPRO_MODELS],
    log:
        f"{REPRO}/logs/models/{{irfkey}}.log",
    params:
        config=REQUEST,
        folder=subpath(output[0], parent=True),
    shell:
        "echo {params.config:q} | cta-batch reprocessing models --config - --plan {input.plan}"
        " --irf {wildcards.irfkey} --output {params.folder} 2> {log}"


rule reprocessing_process:
    input:
        events=repro_file_of_chunk,
        config=f"{REPRO}/work/process.yaml",
        compiled=ancient(IRF_COMPILED),
    output:
        temp(f"{REPRO}/dl2/{{chunk}}.geometry.dl2.h5"),
    log:
        f"{REPRO}/logs/process/{{chunk}}.log",
    benchmark:
        f"{REPRO}/benchmarks/process/{{chunk}}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=480,
    params:
        source="--SimTelEventSource.skip_calibration_events=True",
    shell:
        "ctapipe-process --input {input.events} --output {output} --config {input.config}"
        " {params.source} --overwrite --provenance-log {log} >> {log} 2>&1"


rule reprocessing_apply_models:
    input:
        events=f"{REPRO}/dl2/{{chunk}}.geometry.dl2.h5",
        energy=repro_model("energy.pkl"),
        classifier=repro_model("classifier.pkl"),
    output:
        temp(f"{REPRO}/dl2/{{chunk}}.final.dl2.h5"),
    log:
        f"{REPRO}/logs/apply/{{chunk}}.log",
    benchmark:
        f"{REPRO}/benchmarks/apply/{{chunk}}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    shell:
        "ctapipe-apply-models --input {input.events} --output {output}"
        " --reconstructor {input.energy} --reconstructor {input.classifier}"
        " --n-jobs {threads} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule reprocessing_observation:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
    output:
        observation=f"{REPRO}/observations/{{ob}}.json",
        lineage=f"{REPRO}/observations/{{ob}}.lineage.json",
    log:
        f"{REPRO}/logs/observation/{{ob}}.log",
    shell:
        "cta-batch reprocessing observation --plan {input.plan} --key {wildcards.ob}"
        " --output {output.observation} --lineage {output.lineage} 2> {log}"


rule reprocessing_dl3:
    input:
        events=repro_chunks,
        cuts=repro_model("cuts.fits"),
        irf=repro_model("irf.fits.gz"),
        select=f"{REPRO}/work/select.yaml",
        observation=f"{REPRO}/observations/{{ob}}.json",
        lineage=f"{REPRO}/observations/{{ob}}.lineage.json",
    output:
        dl3=temp(f"{REPRO}/work/dl3/{{ob}}.dl3.fits.gz"),
        metadata=temp(f"{REPRO}/work/dl3/{{ob}}.dl3.fits.gz.meta.json"),
    log:
        f"{REPRO}/logs/dl3/{{ob}}.log",
    benchmark:
        f"{REPRO}/benchmarks/dl3/{{ob}}.tsv"
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        config=REQUEST,
        events=lambda wildcards, input: " ".join(
            f"--events {path}" for path in input.events
        ),
    shell:
        "echo {params.config:q} | cta-batch dl3 create --config - {params.events}"
        " --cuts {input.cuts} --irf {input.irf} --select {input.select}"
        " --observation {input.observation} --lineage {input.lineage} --output {output.dl3}"
        " > {log} 2>&1"


rule reprocessing_verify:
    input:
        dl3=f"{REPRO}/work/dl3/{{ob}}.dl3.fits.gz",
        observation=f"{REPRO}/observations/{{ob}}.json",
    output:
        temp(f"{REPRO}/work/verification/{{ob}}.json"),
    log:
        f"{REPRO}/logs/verify/{{ob}}.log",
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        limits=REPRO_LIMITS,
    shell:
        "cta-batch dl3 verify {input.dl3} --observation {input.observation} {params.limits}"
        " --output {output} --report-only > {log} 2>&1"


rule reprocessing_ingest:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        dl3=local(f"{REPRO}/dl3/{{ob}}.dl3.fits.gz"),
        metadata=local(f"{REPRO}/dl3/{{ob}}.dl3.fits.gz.meta.json"),
        verification=local(f"{REPRO}/verification/{{ob}}.json"),
    output:
        local(f"{REPRO}/ingest/{{ob}}.json"),
    log:
        f"{REPRO}/logs/ingest/{{ob}}.log",
    retries: 0
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch reprocessing ingest --config - --plan {input.plan}"
        " --key {wildcards.ob} --dl3 {input.dl3} --verification {input.verification}"
        " --output {output} 2>&1 | tee {log}"


rule reprocessing_release:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        staged=ancient(local(f"{REPRO}/waves/{{wave}}.staged.json")),
        processed=repro_processed_of_wave,
    output:
        local(f"{REPRO}/waves/{{wave}}.released.json"),
    log:
        f"{REPRO}/logs/release/{{wave}}.log",
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch reprocessing release --config - --plan {input.plan}"
        " --wave {wildcards.wave} --output {output} 2>&1 | tee {log}"


rule reprocessing_index:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        ingested=repro_ingested,
    output:
        hdus=local(f"{REPRO}/dl3/hdu-index.fits.gz"),
        observations=local(f"{REPRO}/dl3/obs-index.fits.gz"),
    log:
        f"{REPRO}/logs/index.log",
    retries: 0
    params:
        config=REQUEST,
        folder=subpath(output.hdus, parent=True),
    shell:
        "echo {params.config:q} | cta-batch reprocessing index --config - --plan {input.plan}"
        " --output {params.folder} 2> {log}"


rule reprocessing_clean:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        index=local(f"{REPRO}/dl3/hdu-index.fits.gz"),
        released=repro_released,
    output:
        local(f"{REPRO}/clean.json"),
    log:
        f"{REPRO}/logs/clean.log",
    retries: 0
    params:
        config=REQUEST,
        plan=f"{REPRO}/plan.json",
    shell:
        "echo {params.config:q} | cta-batch reprocessing clean --check --config -"
        " --plan {params.plan} --output {output} 2>&1 | tee {log}"


rule reprocessing_summary:
    input:
        plan=ancient(f"{REPRO}/work/plan.json"),
        clean=local(f"{REPRO}/clean.json"),
        measured=repro_measured,
    output:
        local(f"{REPRO}/summary.json"),
    log:
        f"{REPRO}/logs/summary.log",
    params:
        plan=f"{REPRO}/plan.json",
        benchmarks=repro_benchmarks,
    shell:
        "cta-batch reprocessing summarise --plan {params.plan} --benchmarks {params.benchmarks}"
        " --output {output} 2> {log}"


# a run that fails or is interrupted holds no disk copies and leaves no temporary files
onerror:
    repro_clean_up()
