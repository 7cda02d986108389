"""params.yaml -> data -> runs -> tables and figures -> report. How to run: profiles/. What to run: params.yaml."""


include: "workflow/rules/rate_limit.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/coresets.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/diagnose.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        RUN_FILES,
        RECORDS,
        PAGE_RECORD,
