.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Snakemake's jobs call `python`: the one of this environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help try reproduce test test-slow oldest faults engines gpu-check lint ui docs report schema bench commit

help:  ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; make PYTHON=python3.12"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

reproduce: .venv/installed  ## Install, train everything at the quick scale, write reports/quick/index.html
	snakemake --cores all --quiet rules

try: .venv/installed  ## Is pruning worth it on data of yours? make try DATA=/data/flowers BUDGET=30m
	python -m orderdp try $(DATA) --budget $(or $(BUDGET),30m)

# A file at a time in each of three processes, one of which mostly waits for a scheduler.
PYTEST := python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/engines

test: .venv/installed  ## Run the tests, except those that take long (ten minutes on two cores)
	$(PYTEST) -m "not slow"

test-slow: .venv/installed  ## Run the others: whole trials, examples, killed workflows, faults (a quarter of an hour)
	$(PYTEST) -m slow

# What pyproject.toml promises at least: `"torch>=2.4", "numpy>=1.26"` in its dependencies.
OLDEST = $(shell sed -n '/^dependencies/s/.*"torch>=\([0-9.]*\)", "numpy>=\([0-9.]*\)".*/torch==\1.0 numpy==\2.0/p' pyproject.toml)

.venv-oldest/installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check $(OLDEST) pytest pytest-timeout pytest-xdist hypothesis scipy scikit-learn matplotlib
	touch $@

oldest: .venv-oldest/installed  ## The library's tests with the oldest torch and NumPy that pyproject.toml promises
	.venv-oldest/bin/python -m pytest -n 2 --dist loadfile tests/pruning tests/coresets tests/diagnostics tests/theory

faults: .venv/installed  ## Let everything go wrong on a tiny project; see what is lost: nothing (half an hour)
	python -m tests.faults

engines: .venv/installed  ## Tests with a real SLURM, PostgreSQL and SSH server; those that are not installed are skipped
	python -m pytest tests/engines

gpu-check: .venv/installed  ## Try every kind of run on the GPU that is here, or on an emulated one; hours of each scale
	python -m orderdp gpu-check

lint: .venv/installed  ## Style, types, workflow style
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	ORDERDP_NO_TRACKING=1 snakemake --lint

ui: .venv/installed  ## Open MLflow on the runs tracked so far
	MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true mlflow ui --backend-store-uri sqlite:///mlflow.db

docs: .venv/installed  ## Build the documentation: site/index.html
	mkdocs build --strict --quiet

schema: .venv/installed  ## Write the JSON schema of params.yaml
	python -m orderdp schema > workflow/schemas/params.schema.json

bench: .venv/installed  ## Measure speed and memory, write benchmarks/results/
	python -m benchmarks

commit: .venv/installed  ## Record data, runs and reports in DVC, if they are up to date
	snakemake -n --quiet all | grep -q "Nothing to be done" || { echo "Not up to date: run snakemake first"; exit 1; }
	dvc commit -f
