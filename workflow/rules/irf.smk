"""IRF production: plan, simulate and process, train, cut, compute, validate, ingest."""


localrules:
    irf,
    irf_plan,
    irf_make_plan,
    irf_pipeline,
    irf_card,
    irf_warm,
    irf_check_model,
    irf_product,
    irf_models,
    irf_fetch,
    irf_validate,
    irf_report,
    irf_ingest,
    irf_summary,


rule irf:
    default_target: True
    input:
        irf_final,
    log:
        f"{IRF}/logs/show.log",
    params:
        folder=IRF,
    shell:
        "cta-batch irf show {params.folder} | tee {log}"


rule irf_plan:
    input:
        f"{IRF}/plan.json",
    log:
        f"{IRF}/logs/show-plan.log",
    shell:
        "cta-batch irf show --plan {input} | tee {log}"


checkpoint irf_make_plan:
    output:
        plan=f"{IRF}/plan.json",
        binning=f"{IRF}/binning.yaml",
    log:
        f"{IRF}/logs/plan.log",
    retries: 0
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch irf plan --config - --output {output.plan} 2>&1"
        " | tee {log}"


rule irf_pipeline:
    input:
        irf_tool_settings,
    output:
        f"{IRF}/pipeline/{{tool}}.yaml",
    log:
        f"{IRF}/logs/pipeline/{{tool}}.log",
    shell:
        "cp {input} {output} 2> {log}"


rule irf_card:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        compiled=ancient(IRF_COMPILED),
    output:
        f"{IRF}/cards/{{sample}}.openiact.json",
    log:
        f"{IRF}/logs/card/{{sample}}.log",
    shell:
        "cta-batch irf card --plan {input.plan} --sample {wildcards.sample} --output {output} 2> {log}"


rule irf_warm:
    output:
        local(f"{RESULTS}/irf/compiled.json"),
    log:
        f"{RESULTS}/irf/compiled.log",
    shell:
        "cta-batch irf warm --output {output} 2> {log}"


rule irf_process:
    input:
        events=IRF_EVENTS,
        config=f"{IRF}/pipeline/process.yaml",
    output:
        temp(f"{IRF}/runs/{{sample}}/{{run}}.dl2.h5"),
    log:
        f"{IRF}/logs/process/{{sample}}-{{run}}.log",
    benchmark:
        f"{IRF}/benchmarks/process/{{sample}}-{{run}}.tsv"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=240,
    params:
        source=IRF_SOURCE,
    shell:
        "ctapipe-process --input {input.events} --output {output} --config {input.config}"
        " {params.source} --overwrite --provenance-log {log} >> {log} 2>&1"


rule irf_merge_runs:
    input:
        irf_runs,
    output:
        temp(f"{IRF}/dl2/{{sample}}/geometry-1-{{node}}.dl2.h5"),
    log:
        f"{IRF}/logs/merge/{{sample}}-1-{{node}}.log",
    benchmark:
        f"{IRF}/benchmarks/merge/{{sample}}-1-{{node}}.tsv"
    resources:
        mem_mb=1000,
        runtime=120,
    shell:
        "ctapipe-merge {input} --output {output} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_apply_energy:
    input:
        events=f"{IRF}/dl2/{{sample}}/geometry-1-{{node}}.dl2.h5",
        energy=f"{IRF}/models/energy.pkl",
        checked=f"{IRF}/models/energy.json",
    output:
        temp(f"{IRF}/dl2/{{sample}}/energy-1-{{node}}.dl2.h5"),
    log:
        f"{IRF}/logs/apply/{{sample}}-energy-{{node}}.log",
    benchmark:
        f"{IRF}/benchmarks/apply/{{sample}}-energy-{{node}}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    shell:
        "ctapipe-apply-models --input {input.events} --output {output}"
        " --reconstructor {input.energy} --n-jobs {threads} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_apply_models:
    input:
        events=f"{IRF}/dl2/{{sample}}/geometry-1-{{node}}.dl2.h5",
        energy=f"{IRF}/models/energy.pkl",
        classifier=f"{IRF}/models/classifier.pkl",
        checked=[f"{IRF}/models/{name}.json" for name in ("energy", "classifier")],
    output:
        temp(f"{IRF}/dl2/{{sample}}/final-1-{{node}}.dl2.h5"),
    log:
        f"{IRF}/logs/apply/{{sample}}-final-{{node}}.log",
    benchmark:
        f"{IRF}/benchmarks/apply/{{sample}}-final-{{node}}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    shell:
        "ctapipe-apply-models --input {input.events} --output {output}"
        " --reconstructor {input.energy} --reconstructor {input.classifier}"
        " --n-jobs {threads} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_merge:
    input:
        irf_nodes,
    output:
        temp(f"{IRF}/dl2/{{sample}}/{{stage}}-{{level}}-{{node}}.dl2.h5"),
    log:
        f"{IRF}/logs/merge/{{sample}}-{{stage}}-{{level}}-{{node}}.log",
    benchmark:
        f"{IRF}/benchmarks/merge/{{sample}}-{{stage}}-{{level}}-{{node}}.tsv"
    wildcard_constraints:
        level=r"[2-9]\d*|1\d+",
    resources:
        mem_mb=1000,
        runtime=240,
    shell:
        "ctapipe-merge {input} --output {output} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_train_energy:
    input:
        events=irf_top("geometry", "nominal_gamma_train"),
        config=f"{IRF}/pipeline/train.yaml",
    output:
        model=f"{IRF}/models/energy.pkl",
        check=f"{IRF}/models/energy.cv.h5",
    log:
        f"{IRF}/logs/train/energy.log",
    benchmark:
        f"{IRF}/benchmarks/train_energy.tsv"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=480,
    shell:
        "ctapipe-train-energy-regressor --input {input.events} --output {output.model}"
        " --cv-output {output.check} --config {input.config} --n-jobs {threads} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_train_classifier:
    input:
        signal=irf_top("energy", "nominal_gamma_train"),
        background=irf_top("energy", "nominal_proton_train"),
        config=f"{IRF}/pipeline/train.yaml",
    output:
        model=f"{IRF}/models/classifier.pkl",
        check=f"{IRF}/models/classifier.cv.h5",
    log:
        f"{IRF}/logs/train/classifier.log",
    benchmark:
        f"{IRF}/benchmarks/train_classifier.tsv"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=480,
    shell:
        "ctapipe-train-particle-classifier --signal {input.signal} --background {input.background}"
        " --output {output.model} --cv-output {output.check} --config {input.config}"
        " --n-jobs {threads} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_check_model:
    input:
        f"{IRF}/models/{{model}}.pkl",
    output:
        f"{IRF}/models/{{model}}.json",
    log:
        f"{IRF}/logs/train/check-{{model}}.log",
    wildcard_constraints:
        model="energy|classifier",
    retries: 0
    shell:
        "cta-batch irf check-model {input} --output {output} 2> {log}"


rule irf_cuts:
    input:
        gamma=irf_top("final", "nominal_gamma_cuts"),
        proton=irf_optional_top("final", "nominal_proton_cuts"),
        select=f"{IRF}/pipeline/irf.yaml",
        binning=ancient(f"{IRF}/binning.yaml"),
    output:
        f"{IRF}/models/cuts.fits",
    log:
        f"{IRF}/logs/cuts.log",
    benchmark:
        f"{IRF}/benchmarks/cuts.tsv"
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        background=lambda wildcards, input: input.get("proton")
        and f"-p {input.proton}"
        or "",
    shell:
        "ctapipe-optimize-event-selection -g {input.gamma} {params.background} --output {output}"
        " -c {input.select} -c {input.binning} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_compute:
    input:
        gamma=irf_top("final", "{variant}_gamma_irf"),
        proton=irf_top("final", "{variant}_proton_irf"),
        electron=irf_top("final", "{variant}_electron_irf"),
        cuts=f"{IRF}/models/cuts.fits",
        select=f"{IRF}/pipeline/irf.yaml",
        binning=ancient(f"{IRF}/binning.yaml"),
    output:
        irf=f"{IRF}/irf/{{variant}}.fits.gz",
        benchmarks=f"{IRF}/irf/{{variant}}.benchmarks.fits.gz",
    log:
        f"{IRF}/logs/irf/{{variant}}.log",
    benchmark:
        f"{IRF}/benchmarks/irf/{{variant}}.tsv"
    resources:
        mem_mb=3000,
        runtime=240,
    shell:
        "ctapipe-compute-irf --gamma-file {input.gamma} --proton-file {input.proton}"
        " --electron-file {input.electron} --cuts {input.cuts} -c {input.select}"
        " -c {input.binning} --do-background --output {output.irf}"
        " --benchmark-output {output.benchmarks} --overwrite"
        " --provenance-log {log} >> {log} 2>&1"


rule irf_product:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        irf=irf_computed,
    output:
        irf=local(f"{IRF}/{{product}}.fits.gz"),
        metadata=local(f"{IRF}/{{product}}.fits.gz.meta.json"),
    log:
        f"{IRF}/logs/product/{{product}}.log",
    retries: 0
    params:
        config=REQUEST,
        variant=irf_variant_of,
    shell:
        "echo {params.config:q} | cta-batch irf product --config - --plan {input.plan}"
        " --variant {params.variant} --irf {input.irf} --output {output.irf} 2> {log}"


rule irf_models:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        models=IRF_MODELS,
    output:
        [f"{model}.meta.json" for model in IRF_MODELS],
    log:
        f"{IRF}/logs/models.log",
    retries: 0
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch irf models --config - --plan {input.plan} 2> {log}"


rule irf_validate:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        products=irf_products,
        benchmarks=irf_benchmarks,
    output:
        result=report(
            local(f"{IRF}/validation.json"),
            caption="../report/validation.rst",
            category="Validation",
        ),
        plots=report(
            directory(local(f"{IRF}/plots")),
            patterns=["{name}.png"],
            caption="../report/plots.rst",
            category="Plots",
        ),
    log:
        f"{IRF}/logs/validate.log",
    benchmark:
        f"{IRF}/benchmarks/validate.tsv"
    retries: 0
    params:
        config=REQUEST,
        folder=subpath(output.result, parent=True),
    shell:
        "echo {params.config:q} | cta-batch irf validate --config - --plan {input.plan}"
        " --folder {params.folder} --output {output.result} --plots {output.plots}"
        " --report-only > {log} 2>&1"


rule irf_report:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        validation=local(f"{IRF}/validation.json"),
        plots=local(f"{IRF}/plots"),
        products=irf_products,
        measured=irf_measured,
    output:
        report(
            local(f"{IRF}/report.html"),
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        f"{IRF}/logs/report.log",
    retries: 0
    params:
        config=REQUEST,
        folder=subpath(output[0], parent=True),
    shell:
        "echo {params.config:q} | cta-batch irf report --config - --plan {input.plan}"
        " --validation {input.validation} --folder {params.folder}"
        " --output {output} 2> {log}"


rule irf_ingest:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        products=irf_products,
        models=[*IRF_MODELS, *(f"{model}.meta.json" for model in IRF_MODELS)],
        validation=local(f"{IRF}/validation.json"),
        report=local(f"{IRF}/report.html"),
    output:
        local(f"{IRF}/ingest.json"),
    log:
        f"{IRF}/logs/ingest.log",
    retries: 0
    params:
        config=REQUEST,
        folder=subpath(output[0], parent=True),
    shell:
        "echo {params.config:q} | cta-batch irf ingest --config - --plan {input.plan}"
        " --validation {input.validation} --folder {params.folder}"
        " --output {output} 2>&1 | tee {log}"


rule irf_summary:
    input:
        plan=ancient(f"{IRF}/plan.json"),
        ingest=local(f"{IRF}/ingest.json"),
        measured=irf_measured,
    output:
        report(
            local(f"{IRF}/summary.json"),
            caption="../report/summary.rst",
            category="Report",
        ),
    log:
        f"{IRF}/logs/summary.log",
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "cta-batch irf summarise --plan {input.plan} --folder {params.folder}"
        " --output {output} 2> {log}"


rule irf_fetch:
    input:
        f"{IRF}/plan.json",
    output:
        local(f"{IRF}/fetched.json"),
    log:
        f"{IRF}/logs/fetch.log",
    params:
        config=REQUEST,
        folder=subpath(output[0], parent=True),
    shell:
        "echo {params.config:q} | cta-batch irf fetch --config - --plan {input}"
        " --folder {params.folder} --output {output} 2>&1 | tee {log}"
