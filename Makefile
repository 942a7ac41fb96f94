# All commands of a checkout. Each command first creates .venv with all dependencies.
PYTHON ?= python3
# URL of another package index for torch, for example that of its CPU build. Empty: pip's own index.
TORCH_INDEX ?=
# Number of pytest processes. Those that start servers wait for them, so two processors serve three. Unit tests start no
# server: two processes are faster.
WORKERS ?= 3
MINUTES ?= 10
SEED ?= 1
CASES ?= 10000
# Commit that `make bench` compares with: the last one before full-size pixels left torch. Empty: none.
BASELINE ?= befc839

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/pytest
# Containers often set it. Each of the many processes would then compile every module again.
unexport PYTHONDONTWRITEBYTECODE
PARALLEL = --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 10

.DEFAULT_GOAL := help
.PHONY: help demo test unit integration e2e bench long chart cluster evaluate chaos fuzz images-check check lint types imports format hooks

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch is installed first and pinned, so that its build can be chosen by TORCH_INDEX.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 15) else f"Dubline needs Python 3.11 to 3.14, but $(PYTHON) is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[worker,embedded,dev]'
	@touch $@

# Without the hashes of an earlier run, its videos are rendered again and replaced.
demo: $(READY) ## run one batch of four jobs end to end; the videos land in out/
	@rm -f out/.dubline-videos.jsonl
	$(BIN)/dubline up -- $(BIN)/dubline batch demo/batch.jsonl --out out --force

test: $(READY) ## run all tests except those that take minutes
	$(PYTEST) $(PARALLEL)

unit: WORKERS = 2
unit: $(READY) ## run the tests that open no socket
	$(PYTEST) $(PARALLEL) tests/unit

integration: $(READY) ## run the tests against real servers, short training runs and whole renders
	$(PYTEST) $(PARALLEL) tests/integration

e2e: $(READY) ## run the tests of the whole service and of the fault campaign
	$(PYTEST) $(PARALLEL) tests/e2e tests/chaos

bench: $(READY) ## measure speed and memory beside another commit, on an idle machine: make bench [BASELINE=befc839] [ONLY="jobs memory"]
	@$(BIN)/python -m benchmarks.speed $(if $(BASELINE),--baseline $(BASELINE)) $(if $(ONLY),--only $(ONLY))

long: $(READY) ## run the tests that take minutes
	$(PYTEST) --durations 10 -m long

chart: $(READY) ## lint, render and check every shape of the Helm chart; needs helm, on PATH or as HELM
	$(PYTEST) -rs --durations 5 tests/charts

images-check: $(READY) ## run the build steps of both images without Docker and start their processes: make images-check [IMAGES=api]
	@$(BIN)/python -m benchmarks.images $(IMAGES)

cluster: $(READY) ## run the tests of the scaler on a real cluster: make cluster KUBECONFIG=file NAMESPACE=name [IMAGE=busybox]
	@test -n "$(KUBECONFIG)" -a -n "$(NAMESPACE)" || { echo "name a cluster and a namespace of it: make cluster KUBECONFIG=file NAMESPACE=name"; exit 2; }
	CLUSTER_KUBECONFIG=$(KUBECONFIG) CLUSTER_NAMESPACE=$(NAMESPACE) CLUSTER_IMAGE=$(IMAGE) $(PYTEST) tests/integration/cluster

evaluate: $(READY) ## measure weights: make evaluate CLIPS=folder [PRESET= PHOTOS= SPEECH= DENSE= WEIGHTS= OUT= COUNT=]
	@$(BIN)/python -m dubline.training.evaluate $(CLIPS) $(if $(PRESET),--preset $(PRESET)) \
		$(if $(PHOTOS),--photos $(PHOTOS)) $(if $(SPEECH),--speech $(SPEECH)) $(if $(DENSE),--dense $(DENSE)) \
		$(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(OUT),--out $(OUT)) $(if $(COUNT),--clips $(COUNT))

chaos: $(READY) ## inject faults into the service under load and check the history: make chaos [MINUTES=10] [SEED=1] [PHASES="light render celery"]
	@$(BIN)/python -m benchmarks.chaos --minutes $(MINUTES) --seed $(SEED) $(if $(PHASES),--phases $(PHASES))

fuzz: $(READY) ## send generated requests to every operation of the API: make fuzz [CASES=10000] [SEED=1]
	@$(BIN)/python -m benchmarks.fuzz --cases $(CASES) --seed $(SEED)

check: lint types imports ## run ruff, mypy and the import contracts

lint: $(READY) ## check the rules and the format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## check the types with mypy
	$(BIN)/mypy

imports: $(READY) ## check which package imports which
	$(BIN)/lint-imports

format: $(READY) ## format the files and apply the fixes of ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: $(READY) ## install the pre-commit hooks
	$(BIN)/pre-commit install
