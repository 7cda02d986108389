"""params.yaml -> data -> runs -> tables and figures -> report. How to run: profiles/. What to run: params.yaml."""


include: "workflow/rules/rate_limit.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/jobs.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        lambda w: every_bundle(),
        RECORDS,
        PAGE_RECORD,
