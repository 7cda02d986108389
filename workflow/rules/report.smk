# Seconds of work each: not worth a place in a cluster's queue.
localrules:
    page,
    report,
    tables,


rule tables:
    input:
        RECORDS,


rule report:
    input:
        PAGE_RECORD,


# One rule per experiment: its inputs and its record's name are known when this file is read.
for name, record in RECORD.items():

    rule:
        name:
            f"artifact_{name}"
        input:
            lambda w, name=name: results(GRID.experiments[name].jobs),
        output:
            record,
        log:
            f"logs/report/{SCALE}-{name}.log",
        localrule: True
        conda:
            "../envs/orderdp.yaml"
        params:
            experiment=name,
            scale=SCALE,
        shell:
            "python -m orderdp report --scale {params.scale} --only {params.experiment} > {log} 2>&1 "
            "|| python -m orderdp.launch.explain_failure $? {params.experiment} {log}"


rule page:
    input:
        lambda w: [
            record
            for name, record in RECORD.items()
            if made_again(name) or missing([record])
        ],
    output:
        PAGE_RECORD,
    log:
        f"logs/report/{SCALE}-page.log",
    conda:
        "../envs/orderdp.yaml"
    params:
        scale=SCALE,
    shell:
        "python -m orderdp report --scale {params.scale} --page > {log} 2>&1 "
        "|| python -m orderdp.launch.explain_failure $? page {log}"
