# Downloads belong on the machine that has the internet, not on a cluster's node.
localrules:
    data,
    prepare,


rule data:
    input:
        [f"data/{name}/manifest.json" for name in GRID.datasets],


rule prepare:
    output:
        "data/{dataset}/manifest.json",
    log:
        "logs/prepare/{dataset}.log",
    conda:
        "../envs/orderdp.yaml"
    shell:
        "python -m orderdp prepare --dataset {wildcards.dataset} > {log} 2>&1 "
        "|| python -m orderdp.launch.explain_failure $? data/{wildcards.dataset} {log}"
