# Measurements of runs that kept their weights at the checkpoints: jobs of their own, so that they cost the runs nothing.
rule diagnoses:
    input:
        [f"runs/{name}/summary.json" for name in GRID.diagnoses],


rule diagnose:
    input:
        data=lambda w: data_for(
            w.diagnosis, GRID.diagnoses[w.diagnosis].cell.spec.dataset.name
        ),
        run=lambda w: made_before(
            w.diagnosis, f"runs/{GRID.diagnoses[w.diagnosis].cell.name}/summary.json"
        ),
    output:
        spec="runs/{diagnosis}/spec.json",
        diagnostics="runs/{diagnosis}/diagnostics.csv",
        profile="runs/{diagnosis}/profile.npz",
        summary="runs/{diagnosis}/summary.json",
    log:
        "logs/diagnose/{diagnosis}.log",
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda w, attempt: needs.mem_mb(
            GRID.diagnoses[w.diagnosis].cell, attempt
        ),
        runtime=120,
    params:
        scale=SCALE,
    shell:
        "python -m orderdp.launch --gpus {resources.gpu} -- diagnose --scale {params.scale} --diagnosis {wildcards.diagnosis} "
        "--threads {threads} > {log} 2>&1 "
        "|| python -m orderdp.explain_failure $? {wildcards.diagnosis} {log}"
