rule studies:
    input:
        [f"runs/{name}/summary.json" for name in STUDIES],


rule study:
    input:
        lambda w: data_for(w.study, STUDIES[w.study].spec.dataset),
    output:
        spec="runs/{study}/spec.json",
        unbiasedness="runs/{study}/unbiasedness.csv",
        convergence="runs/{study}/convergence.csv",
        generalization="runs/{study}/generalization.csv",
        summary="runs/{study}/summary.json",
    log:
        "logs/study/{study}.log",
    conda:
        "../envs/orderdp.yaml"
    threads: 1
    resources:
        runtime=60,
    params:
        scale=SCALE,
    shell:
        "python -m orderdp study --scale {params.scale} --study {wildcards.study} > {log} 2>&1 "
        "|| python -m orderdp.explain_failure $? {wildcards.study} {log}"
