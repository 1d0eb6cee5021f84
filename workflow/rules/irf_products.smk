"""IRF production, products: reference metadata, validation, report, ingest, summary."""


localrules:
    irf_product,
    irf_models,
    irf_validate,
    irf_report,
    irf_ingest,
    irf_summary,


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
