# Everything that is computed before the report: trainings, proxies, coresets, measurements, studies. Missing jobs run
# in bundles that share a process. A bundle is planned when this file is parsed; the processes of its jobs read the
# plan.


rule runs:
    input:
        # A rule without any input would run each time.
        ancient("params.yaml"),
        lambda w: every_bundle(),


rule bundle:
    input:
        lambda w: before_bundle(w.bundle),
    output:
        # Not the files of the jobs: Snakemake removes the outputs of a job that failed, and no training may be lost
        # because another one of its bundle failed, or because of a file's date.
        BUNDLE_DONE,
    log:
        "logs/bundles/{bundle}.log",
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        gpu=lambda w: bundle_of(w.bundle).gpus,
        mem_mb=lambda w, attempt: bundle_of(w.bundle).memory_mb(attempt, AT_ONCE),
        runtime=lambda w, attempt: bundle_of(w.bundle).minutes(
            attempt, AT_ONCE, MOST_MINUTES
        ),
        cpus_per_task=lambda w: bundle_of(w.bundle).cpus(AT_ONCE),
    params:
        at_once=lambda w: bundle_of(w.bundle).at_once(AT_ONCE),
        options=OPTIONS,
        plan=lambda w: f"{BUNDLE_PLANS}/{w.bundle}.json",
        jobs=lambda w: described(w.bundle),
    message:
        "{params.jobs}"
    shell:
        "python -m orderdp run --bundle {params.plan} --gpus {resources.gpu} --at-once {params.at_once} "
        "--threads {threads} {params.options} > {log} 2>&1 && touch {output} "
        "|| python -m orderdp.launch.explain_failure $? {wildcards.bundle} {log}"
