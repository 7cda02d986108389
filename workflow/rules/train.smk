rule runs:
    input:
        RUN_FILES,


rule train:
    input:
        # Always ancient: the data set's digest is in the run's name, so that getting it again changes no run.
        manifest=lambda wildcards: ancient(
            f"data/{GRID.cells[wildcards.cell].spec.dataset.name}/manifest.json"
        ),
    output:
        spec="runs/{cell}/spec.json",
        history="runs/{cell}/history.csv",
        selection="runs/{cell}/selection.npz",
        summary="runs/{cell}/summary.json",
    log:
        "logs/train/{cell}.log",
    retries: 1
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        gpu=1,
        runtime=1440,
    params:
        scale=SCALE,
    shell:
        "python -m orderdp.gpu_slot -- python -m orderdp train --scale {params.scale} --cell {wildcards.cell} "
        "--threads {threads} > {log} 2>&1"
