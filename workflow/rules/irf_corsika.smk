"""The licensed chain: CORSIKA and sim_telarray in an image of the user, see docs/irf.md."""


rule irf_corsika_card:
    input:
        ancient(f"{IRF}/plan.json"),
    output:
        f"{IRF}/corsika/{{sample}}/{{run}}.card",
    log:
        f"{IRF}/logs/corsika-card/{{sample}}-{{run}}.log",
    shell:
        "cta-batch irf corsika-card --plan {input} --sample {wildcards.sample}"
        " --run {wildcards.run} --output {output} 2> {log}"


rule irf_corsika:
    input:
        f"{IRF}/corsika/{{sample}}/{{run}}.card",
    output:
        temp(f"{IRF}/corsika/{{sample}}/{{run}}.corsika.zst"),
    log:
        f"{IRF}/logs/corsika/{{sample}}-{{run}}.log",
    benchmark:
        f"{IRF}/benchmarks/corsika/{{sample}}-{{run}}.tsv"
    container:
        IRF_CONTAINER
    threads: 1
    resources:
        mem_mb=2000,
        runtime=1440,
    shell:
        "run-corsika {input} {output} > {log} 2>&1"


rule irf_simtel:
    input:
        events=f"{IRF}/corsika/{{sample}}/{{run}}.corsika.zst",
        plan=ancient(f"{IRF}/plan.json"),
    output:
        temp(f"{IRF}/simtel/{{sample}}/{{run}}.simtel.zst"),
    log:
        f"{IRF}/logs/simtel/{{sample}}-{{run}}.log",
    benchmark:
        f"{IRF}/benchmarks/simtel/{{sample}}-{{run}}.tsv"
    container:
        IRF_CONTAINER
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        options=irf_simtel_options,
    shell:
        "run-simtel {params.options} {input.events} {output} > {log} 2>&1"
