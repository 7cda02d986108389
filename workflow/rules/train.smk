rule runs:
    input:
        RUN_FILES,


rule train:
    input:
        data=lambda w: data_for(w.cell, GRID.cells[w.cell].spec.dataset.name),
        coreset=lambda w: coreset_of(w.cell),
    output:
        spec="runs/{cell}/spec.json",
        history="runs/{cell}/history.csv",
        diagnostics="runs/{cell}/diagnostics.csv",
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
        "python -m orderdp.gpu_slot -- python -m orderdp.warm -- train --scale {params.scale} --cell {wildcards.cell} "
        "--threads {threads} > {log} 2>&1"
