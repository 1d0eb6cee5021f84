"""Analysis: plan, transfer, reduce, fit, products, report, save, release; see docs/analysis.md."""


localrules:
    analysis,
    analysis_plan,
    analysis_make_plan,
    analysis_keep_plan,
    analysis_transfer,
    analysis_report,
    analysis_save,
    analysis_release,


rule analysis:
    input:
        local(f"{ANALYSIS}/saved.json"),
        local(f"{ANALYSIS}/released.json"),
    log:
        f"{ANALYSIS}/logs/show.log",
    params:
        folder=subpath(input[0], parent=True),
    shell:
        "cta-batch analysis show {params.folder} | tee {log}"


rule analysis_plan:
    input:
        local(f"{ANALYSIS}/plan.json"),
    log:
        f"{ANALYSIS}/logs/show-plan.log",
    shell:
        "cta-batch analysis show --plan {input} | tee {log}"


# Jobs on the grid look at the plan to know the groups, so it is where they reach it; what is marked local()
# stays on this machine.
checkpoint analysis_make_plan:
    input:
        models=local(ANALYSIS_MODELS),
    output:
        f"{ANALYSIS}/work/plan.json",
    log:
        f"{ANALYSIS}/logs/plan.log",
    retries: 0
    params:
        config=REQUEST,
        plan=f"{ANALYSIS}/plan.json",
    shell:
        "echo {params.config:q} | cta-batch analysis plan --config - --output {params.plan}"
        " --job {output} 2>&1 | tee {log}"


rule analysis_keep_plan:
    input:
        f"{ANALYSIS}/work/plan.json",
    output:
        local(f"{ANALYSIS}/plan.json"),
    log:
        f"{ANALYSIS}/logs/keep-plan.log",
    shell:
        "cp {input} {output} 2> {log}"


rule analysis_transfer:
    input:
        local(f"{ANALYSIS}/plan.json"),
    output:
        temp(f"{ANALYSIS}/cache/{{group}}.tar"),
    log:
        f"{ANALYSIS}/logs/transfer/{{group}}.log",
    benchmark:
        f"{ANALYSIS}/benchmarks/transfer/{{group}}.tsv"
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch analysis transfer --config - --plan {input}"
        " --group {wildcards.group} --output {output} 2>&1 | tee {log}"


rule analysis_reduce:
    input:
        plan=f"{ANALYSIS}/work/plan.json",
        archive=f"{ANALYSIS}/cache/{{group}}.tar",
    output:
        temp(f"{ANALYSIS}/work/reduced/{{group}}.tar"),
    log:
        f"{ANALYSIS}/logs/reduce/{{group}}.log",
    benchmark:
        f"{ANALYSIS}/benchmarks/reduce/{{group}}.tsv"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=240,
    shell:
        "cta-batch analysis reduce --plan {input.plan} --group {wildcards.group}"
        " --archive {input.archive} --output {output} > {log} 2>&1"


rule analysis_fit:
    input:
        plan=f"{ANALYSIS}/work/plan.json",
        reduced=analysis_reduced,
    output:
        stacked=f"{ANALYSIS}/work/stacked.fits.gz",
        counts=f"{ANALYSIS}/work/stacked.json",
        fit=f"{ANALYSIS}/work/fit.json",
    log:
        f"{ANALYSIS}/logs/fit.log",
    benchmark:
        f"{ANALYSIS}/benchmarks/fit.tsv"
    threads: ANALYSIS_JOBS
    resources:
        mem_mb=2000,
        runtime=480,
    shell:
        "cta-batch analysis fit --plan {input.plan} {input.reduced} --stacked {output.stacked}"
        " --output {output.fit} --report-only > {log} 2>&1"


rule analysis_products:
    input:
        plan=f"{ANALYSIS}/work/plan.json",
        reduced=analysis_reduced,
        stacked=f"{ANALYSIS}/work/stacked.fits.gz",
        counts=f"{ANALYSIS}/work/stacked.json",
        fit=f"{ANALYSIS}/work/fit.json",
    output:
        f"{ANALYSIS}/work/products.tar",
    log:
        f"{ANALYSIS}/logs/products.log",
    benchmark:
        f"{ANALYSIS}/benchmarks/products.tsv"
    threads: ANALYSIS_JOBS
    resources:
        mem_mb=2000,
        runtime=480,
    shell:
        "cta-batch analysis products --plan {input.plan} --stacked {input.stacked}"
        " --fit {input.fit} {input.reduced} --output {output} > {log} 2>&1"


rule analysis_report:
    input:
        plan=local(f"{ANALYSIS}/plan.json"),
        archive=f"{ANALYSIS}/work/products.tar",
    output:
        report=report(
            local(f"{ANALYSIS}/report.html"),
            caption="../report/analysis.rst",
            category="Report",
        ),
        summary=local(f"{ANALYSIS}/summary.json"),
    log:
        f"{ANALYSIS}/logs/report.log",
    retries: 0
    shell:
        "cta-batch analysis report --plan {input.plan} --archive {input.archive}"
        " --output {output.report} > {log} 2>&1"


rule analysis_save:
    input:
        plan=local(f"{ANALYSIS}/plan.json"),
        fit=f"{ANALYSIS}/work/fit.json",
        report=local(f"{ANALYSIS}/report.html"),
    output:
        local(f"{ANALYSIS}/saved.json"),
    log:
        f"{ANALYSIS}/logs/save.log",
    retries: 0
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch analysis save --config - --plan {input.plan}"
        " --fit {input.fit} --output {output} 2>&1 | tee {log}"


rule analysis_release:
    input:
        plan=local(f"{ANALYSIS}/plan.json"),
        archive=f"{ANALYSIS}/work/products.tar",
    output:
        local(f"{ANALYSIS}/released.json"),
    log:
        f"{ANALYSIS}/logs/release.log",
    params:
        config=REQUEST,
    shell:
        "echo {params.config:q} | cta-batch analysis release --config - --plan {input.plan}"
        " --output {output} 2>&1 | tee {log}"
