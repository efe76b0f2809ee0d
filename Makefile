# `make demo` and `make test` do all their own set-up; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt unit contract e2e bench chaos-short chaos requirements prerequisites clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: ## from nothing to an answered question; leaves the stack up
	@deploy/dev/demo.sh

test: .venv/.complete ## all checks and all tests, everything they need installed first
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@$(MAKE) --no-print-directory check
	pytest tests

check: .venv/.complete ## format, lint, types, import contracts, spelling
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	codespell

fmt: .venv/.complete ## format the code
	ruff format .
	ruff check --fix .

unit: .venv/.complete ## the quick tests: no services, under five seconds
	pytest tests/unit tests/fundamentals tests/architecture

contract: .venv/.complete ## the same cases against fakes and against real parts
	pytest tests/contract

e2e: .venv/.complete ## the whole path, real parts
	pytest tests/worker tests/e2e

bench: prerequisites .venv/.complete ## latency, burst and idle cost beside a raw client
	@$(BIN)/python -m tests.benchmarks

chaos-short: .venv/.complete ## every fault under load, in minutes; SEED=n replays, ONLY="case …" picks
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@$(BIN)/python -m tests.chaos --lane short $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

chaos: .venv/.complete ## the same and what takes longer: frozen links, a slow and a busy engine
	@deploy/dev/prerequisites.sh --tests || { [ $$? -eq 3 ] && [ -z "$$CI" ]; }
	@$(BIN)/python -m tests.chaos --lane full $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

prerequisites: ## install what the system lacks: a JDK, Maven, RabbitMQ, Redis
	@deploy/dev/prerequisites.sh

requirements: ## compile the pinned requirements anew (needs uv)
	uv pip compile -q --generate-hashes --no-header --universal --python-version 3.11 \
	    pyproject.toml --extra local -o requirements/runtime.txt
	uv pip compile -q --generate-hashes --no-header --universal --python-version 3.11 \
	    pyproject.toml --extra local requirements/dev.in -o requirements/dev.txt
	uv pip compile -q --generate-hashes --no-header --no-deps \
	    requirements/model.in -o requirements/model.txt

clean: ## remove the environment and the local stack's state
	rm -rf .venv .procos

.venv/.complete: requirements/dev.txt requirements/model.txt pyproject.toml
	@deploy/dev/environment.sh $(PYTHON)
