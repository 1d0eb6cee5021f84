"""Air showers in a container: plan, image, runs, manifest, ingest, summary; see docs/concordia.md."""


localrules:
    concordia,
    concordia_plan,
    concordia_make_plan,
    concordia_image,
    concordia_unpack,
    concordia_manifest,
    concordia_ingest,
    concordia_summary,


rule concordia:
    input:
        local(f"{CONCORDIA}/summary.json"),
    log:
        local(f"{CONCORDIA}/logs/show.log"),
    params:
        folder=subpath(input[0], parent=True),
    shell:
        "cta-batch concordia show {params.folder} | tee {log}"


rule concordia_plan:
    input:
        local(f"{CONCORDIA}/plan.json"),
    log:
        local(f"{CONCORDIA}/logs/show-plan.log"),
    shell:
        "cta-batch concordia show {input} | tee {log}"


# What is marked local() stays on this machine where the other files go to a storage.
checkpoint concordia_make_plan:
    output:
        local(f"{CONCORDIA}/plan.json"),
    log:
        local(f"{CONCORDIA}/logs/plan.log"),
    retries: 0
    # a resource, because the plan is no other with another back end
    resources:
        backend=backend,
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch concordia plan --config - --backend {resources.backend}"
        " --output {output} 2>&1 | tee {log}"


rule concordia_image:
    input:
        local(f"{CONCORDIA}/plan.json"),
    output:
        image=local(f"{CONCORDIA}/image.json"),
        job=f"{CONCORDIA}/work/job.json",
    log:
        local(f"{CONCORDIA}/logs/image.log"),
    benchmark:
        local(f"{CONCORDIA}/benchmarks/image.tsv")
    retries: 0
    container:
        no_container
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch concordia build --config - --plan {input}"
        " --output {output.image} --job {output.job} 2>&1 | tee {log}"


rule concordia_run:
    input:
        ancient(f"{CONCORDIA}/work/job.json"),
    output:
        temp(f"{CONCORDIA}/work/{{run}}.tar"),
    log:
        local(f"{CONCORDIA}/logs/run/{{run}}.log"),
    benchmark:
        f"{CONCORDIA}/benchmarks/run/{{run}}.tsv"
    container:
        no_container
    threads: 1
    resources:
        **CONCORDIA_RESOURCES,
    params:
        identity=CONCORDIA_IDENTITY,
    shell:
        "cta-batch concordia run --job {input} --run {wildcards.run}"
        " --archive {output} 2>&1 | tee {log}"


rule concordia_unpack:
    input:
        f"{CONCORDIA}/work/{{run}}.tar",
    output:
        local(f"{CONCORDIA}/runs/{{run}}/run.json"),
    log:
        local(f"{CONCORDIA}/logs/unpack/{{run}}.log"),
    params:
        folder=subpath(output[0], ancestor=2),
        identity=CONCORDIA_IDENTITY,
    shell:
        "tar -xmf {input} -C {params.folder} 2> {log}"


rule concordia_manifest:
    input:
        plan=local(f"{CONCORDIA}/plan.json"),
        image=local(f"{CONCORDIA}/image.json"),
        runs=concordia_runs,
    output:
        local(f"{CONCORDIA}/manifest.json"),
    log:
        local(f"{CONCORDIA}/logs/manifest.log"),
    retries: 0
    params:
        config=REQUEST,
        folder=f"{CONCORDIA}/runs",
    shell:
        "echo {params.config:q} | cta-batch concordia manifest --config - --plan {input.plan}"
        " --output {output} {params.folder} 2>&1 | tee {log}"


rule concordia_ingest:
    input:
        plan=local(f"{CONCORDIA}/plan.json"),
        manifest=local(f"{CONCORDIA}/manifest.json"),
    output:
        local(f"{CONCORDIA}/ingest.json"),
    log:
        local(f"{CONCORDIA}/logs/ingest.log"),
    retries: 0
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch concordia ingest --config - --plan {input.plan}"
        " --manifest {input.manifest} --output {output} 2>&1 | tee {log}"


rule concordia_summary:
    input:
        plan=local(f"{CONCORDIA}/plan.json"),
        image=local(f"{CONCORDIA}/image.json"),
        manifest=local(f"{CONCORDIA}/manifest.json"),
        ingest=CONCORDIA_INGEST,
    output:
        summary=report(
            local(f"{CONCORDIA}/summary.json"),
            caption="../report/summary.rst",
            category="Report",
        ),
        report=report(
            local(f"{CONCORDIA}/report.html"),
            caption="../report/concordia.rst",
            category="Report",
        ),
    log:
        local(f"{CONCORDIA}/logs/summary.log"),
    shell:
        "cta-batch concordia summarise --plan {input.plan} --output {output.summary}"
        " --report {output.report} > {log} 2>&1"
