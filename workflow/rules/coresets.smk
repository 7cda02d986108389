# Static runs train on samples that are chosen once: a proxy's evidence first, then every coreset that is wanted of it.
rule coresets:
    input:
        [f"runs/{name}/summary.json" for name in GRID.coresets],


rule proxy:
    input:
        lambda w: data_for(w.proxy, GRID.proxies[w.proxy].spec.dataset.name),
    output:
        spec="runs/{proxy}/spec.json",
        evidence="runs/{proxy}/evidence.npz",
        networks="runs/{proxy}/networks.csv",
        summary="runs/{proxy}/summary.json",
    log:
        "logs/proxy/{proxy}.log",
    # Many runs wait for it.
    priority: 1
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        gpu=1,
        runtime=1440,
    params:
        scale=SCALE,
    shell:
        "python -m orderdp.launch --gpus {resources.gpu} -- proxy --scale {params.scale} --proxy {wildcards.proxy} "
        "--threads {threads} > {log} 2>&1 "
        "|| python -m orderdp.explain_failure $? {wildcards.proxy} {log}"


rule choose:
    input:
        lambda w: made_before(
            w.coresets, f"runs/{GRID.coresets[w.coresets].proxy.name}/summary.json"
        ),
    output:
        spec="runs/{coresets}/spec.json",
        costs="runs/{coresets}/costs.csv",
        chosen="runs/{coresets}/coresets.npz",
        summary="runs/{coresets}/summary.json",
    log:
        "logs/coresets/{coresets}.log",
    priority: 1
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        mem_mb=8192,
        runtime=240,
    params:
        scale=SCALE,
    shell:
        "python -m orderdp coresets --scale {params.scale} --coresets {wildcards.coresets} "
        "--threads {threads} > {log} 2>&1 "
        "|| python -m orderdp.explain_failure $? {wildcards.coresets} {log}"
