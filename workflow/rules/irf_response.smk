"""IRF production, response: train the models, make the cuts, compute the IRFs."""


localrules:
    irf_check_model,


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
        background=irf_background_option,
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
