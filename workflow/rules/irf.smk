"""IRF production: its targets and plan, and the way out where the lake has the product."""


localrules:
    irf,
    irf_plan,
    irf_make_plan,
    irf_fetch,


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
