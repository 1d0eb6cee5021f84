"""IRF production, events: simulate and process runs, join them, apply the models."""


localrules:
    irf_pipeline,
    irf_card,
    irf_warm,


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
