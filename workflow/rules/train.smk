rule runs:
    input:
        RUN_FILES,


rule train:
    input:
        data=lambda w: data_for(w.cell, GRID.cells[w.cell].spec.dataset.name),
        coreset=lambda w: coreset_of(w.cell),
        weights=lambda w: weights_of(w.cell),
    output:
        spec="runs/{cell}/spec.json",
        history="runs/{cell}/history.csv",
        selection="runs/{cell}/selection.npz",
        summary="runs/{cell}/summary.json",
    log:
        "logs/train/{cell}.log",
    group:
        group_of_run
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        gpu=lambda w: GRID.cells[w.cell].gpus,
        mem_mb=lambda w, attempt: needs.mem_mb(GRID.cells[w.cell], attempt),
        runtime=lambda w, attempt: needs.runtime(GRID.cells[w.cell], attempt),
        cpus_per_task=lambda w: needs.cpus(GRID.cells[w.cell]),
    params:
        scale=SCALE,
    shell:
        "python -m orderdp.launch --gpus {resources.gpu} -- train --scale {params.scale} --cell {wildcards.cell} "
        "--threads {threads} > {log} 2>&1 "
        "|| python -m orderdp.explain_failure $? {wildcards.cell} {log}"
