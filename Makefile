# Every target sets up what it needs by itself; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements/bootstrap.lock requirements/dev.lock
STAMP := $(VENV)/.ready
# uv brings certificates of its own, which know nobody behind a company's proxy; where the system has some, use those.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= 1
endif
# The first Python on the PATH that is new enough and can make a virtual environment.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help
help: ## Show this list
	@echo "Headgate: a model registry and serving platform. Targets:"
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): $(LOCKS) pyproject.toml clients/python/pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv and ensurepip found; install one (on Debian: python3-venv) or say make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (once) ..." >&2
	@test -x $(BIN)/python && $(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements/dev.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e . -e clients/python
	@touch $(STAMP)

.PHONY: setup
setup: $(STAMP) ## Make the virtual environment (.venv); instant when it is there

.PHONY: up
up: $(STAMP) ## Start the platform: S3, registry (:5000), serving (:8080, gRPC :8081); Ctrl-C stops it
	@exec $(BIN)/python -m deploy.local

.PHONY: demo
demo: $(STAMP) ## Start the platform, train, predict, roll out a good and a bad version, drift (EXIT=1: leave at the end)
	@exec $(BIN)/python -m docs.examples.demo $(if $(EXIT),--exit)

.PHONY: test
test: $(STAMP) ## Run the tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: fuzz
fuzz: $(STAMP) ## Try a million damaged bodies on every protocol's reader (CASES=n for another number)
	@FUZZ_CASES=$(or $(CASES),1000000) $(BIN)/python -m pytest -q -n 2 $$(grep -rl --include='test_*.py' 'support.mutation import' tests)

.PHONY: lint
lint: $(STAMP) ## Check style, format, types and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: docs
docs: $(STAMP) ## Check that the generated pages are up to date (make docs-write writes them)
	@$(BIN)/python -m docs.build --check

.PHONY: docs-write
docs-write: $(STAMP) ## Write the generated pages
	@$(BIN)/python -m docs.build

.PHONY: dashboards
dashboards: $(STAMP) ## Build Grafana's dashboards (deploy/grafana/dashboards) from their code
	@$(BIN)/python -m deploy.grafana.build

.PHONY: check
check: lint docs test ## All that CI runs

.PHONY: format
format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(STAMP) ## Measure what is promised, print it, write var/bench/latest.json (10 minutes)
	@$(BIN)/python -m tests.bench

.PHONY: bench-peers
bench-peers: $(STAMP) ## Measure other servers beside ours; installs each in var/bench/envs (2.5 GB, once)
	@$(BIN)/python -m tests.bench.peers

.PHONY: bench-evidence
bench-evidence: $(STAMP) ## Simulate rollouts: false rollbacks against time to detect (a few minutes)
	@$(BIN)/python -m tests.bench.evidence

.PHONY: check-plans
check-plans: $(STAMP) ## Check at length that no change of a plan is lost: 8 clients x 500, kill -9, both databases (10 minutes)
	@$(BIN)/python -m tests.faults.plan_clients

.PHONY: bench-drift
bench-drift: $(STAMP) ## Simulate windows: false alarms, and how surely drift is found (half an hour)
	@$(BIN)/python -m tests.bench.drift

.PHONY: bench-drift-peer
bench-drift-peer: $(STAMP) ## Compare our distances with Evidently's; installs it in var/bench/envs (once)
	@$(BIN)/python -m tests.bench.drift_peer

.PHONY: bench-shadow
bench-shadow: $(STAMP) ## Measure what shadows of every kind cost the primary's callers (20 minutes)
	@$(BIN)/python -m tests.bench.shadow

.PHONY: lock
lock: $(STAMP) ## Compile requirements/*.lock anew, with hashes
	@cd requirements && ./compile.sh ../$(BIN)/uv

.PHONY: clean
clean: ## Remove the virtual environment and caches; never var/, which holds your models
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
