# Everything this project can be asked to do. It needs Python 3.11 or newer, its venv module, and make; nothing is installed
# outside the work tree, and a second call finds its environment ready.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run demo viewer trace-demo test test-quick test-viewer test-kill sim planted crash export-runs mutate \
	bench coverage model check fmt format lint types layers dependencies \
	proto proto-fresh proto-lint proto-baseline docs docs-fresh lint-definitions tour lock audit clean

BIN := .venv/bin
PROTO_PYTHON := .venv-proto/bin/python
RUNTIME := .venv/.stamp-runtime
DEV := .venv/.stamp-dev
PROTO := .venv-proto/.stamp
VIEWER := .venv-viewer/.stamp
UV_VERSION := 0.13.9
export PYTHON
# What is called here listens on loopback: gRPC asks no proxy for the way to it. Packages may still come by one.
export no_grpc_proxy := localhost,127.0.0.1,::1

help: ## tell what can be asked
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV) ## make the developer's environment in .venv

run: $(RUNTIME) ## serve the coordinator and all example participants until Ctrl-C
	@$(BIN)/python -m scripts.run

demo: $(RUNTIME) ## play ten stories of orders and trips with real processes, a crash among them
	@$(BIN)/python -m scripts.demo

viewer: $(VIEWER) ## make the environment of the trace viewer in .venv-viewer (850 MB)

trace-demo: $(RUNTIME) $(VIEWER) ## play the demo with tracing on, and show its orders as traces in a viewer
	@$(BIN)/python -m scripts.trace_demo

test: test-quick test-kill ## run all tests but the one that needs a trace viewer

test-quick: $(DEV) ## run all tests but the kill tests
	$(BIN)/python -m pytest -n 2 -m "not kill and not viewer"

# By itself, for whoever has a gigabyte for it.
test-viewer: $(DEV) $(VIEWER) ## read an order's trace back from a real viewer
	$(BIN)/python -m pytest -n 0 -m viewer

# By themselves and seen: they load both cores, and print what they killed.
test-kill: $(DEV) ## kill the coordinator under load, many times, and judge what is left
	$(BIN)/python -m pytest -n 0 -m kill -s

# By examples alone: a branch that only a property happens to reach is tested by luck.
COVERING = tests/contract tests/scenarios --ignore tests/scenarios/test_large.py \
	$(wildcard tests/integration/test_sqlite_*.py) \
	$(addprefix tests/unit/,definitions expressions lint machine participants) \
	$(filter-out %_logs.py %_nothing_unseen.py %_prometheus.py %_settings.py,$(wildcard tests/unit/test_*.py))
coverage: $(DEV) ## check that every branch of domain, engine, journal and barrier is tested
	$(BIN)/python -m pytest -n 2 -m "not hypothesis" $(COVERING) --cov

sim: $(DEV) ## simulate bad days, a new seed each, for five minutes (ARGS="--minutes 60", ARGS="--seed 7 --trace")
	@$(BIN)/python -m tests.simulation $(ARGS)

planted: $(DEV) ## plant each of many mistakes in a copy of the product, and see how soon it is found
	@$(BIN)/python -m tests.planted $(ARGS)

model: $(DEV) ## explore the protocol to its last state, and show that each of its rules is needed
	@$(BIN)/python -m tests.model

bench: $(DEV) ## measure sagas a second, latency and cost on real processes (ARGS="--quick", ARGS="--only 'ours 64'")
	@$(BIN)/python -m scripts.bench $(ARGS)

crash: $(DEV) ## kill each shape of saga at every boundary, the small ones at every pair (WORDS="the pivot": only those)
	@$(BIN)/python -m tests.crash $(WORDS)

export-runs: $(DEV) ## export 200 random runs as tests, and see that each ends as its run did
	@$(BIN)/python -m tests.exporting.runs

mutate: $(DEV) ## break the domain in thousands of small ways, and see that tests notice (MODULES="saga machine": only these)
	nice $(BIN)/python -m scripts.mutate --jobs 2 $(MODULES)

check: format lint types layers dependencies docs-fresh lint-definitions proto-fresh proto-lint ## check all that can be checked without running it

fmt: $(DEV) ## format the code, and repair what the linter can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

format: $(DEV) ## check that the code is formatted
	$(BIN)/ruff format --check --quiet . || { echo "format: run 'make fmt'" >&2; exit 1; }

lint: $(DEV) ## check the code by ruff's rules
	$(BIN)/ruff check .

types: $(DEV) ## check the types
	$(BIN)/mypy

layers: $(DEV) ## check that imports run one way
	$(BIN)/lint-imports --no-cache

dependencies: $(DEV) ## check that what is imported is declared, and that the lock satisfies it
	$(BIN)/deptry .
	$(BIN)/python -m pip check

docs: $(DEV) ## write what the README lists and the schema of definitions out of the code
	@$(BIN)/python -m scripts.gen_docs

tour: $(DEV) ## play the README's tour and write what it prints
	@$(BIN)/python -m scripts.tour

docs-fresh: $(DEV) ## check that the README and the schema of definitions say what the code means
	$(BIN)/python -m scripts.gen_docs --check

lint-definitions: $(DEV) ## check that the linter finds nothing in the definitions that ship
	$(BIN)/saga lint definitions

proto: $(PROTO) ## make generated/ from protos/
	@$(PROTO_PYTHON) -m scripts.gen_protos

proto-fresh: $(PROTO) ## check that generated/ belongs to protos/
	$(PROTO_PYTHON) -m scripts.gen_protos --check

proto-lint: $(PROTO) ## check the protos by buf's rules, and that no change breaks a user
	$(PROTO_PYTHON) -m scripts.check_protos

proto-baseline: $(PROTO) ## take the protos' changes as what users rely on (BREAKING=1: also those that break them)
	@$(PROTO_PYTHON) -m scripts.check_protos --accept $(if $(BREAKING),--breaking)

# One set: the dev lock is made under the runtime lock's versions.
COMPILE = .cache/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate $(if $(UPGRADE),--upgrade)
lock: .cache/lock/uv-$(UV_VERSION) ## bring requirements/ to what pyproject.toml says (UPGRADE=1: to the newest versions)
	$(COMPILE) pyproject.toml --extra server --extra otlp --group build -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra server --extra otlp --group build --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) --group proto -o requirements/proto.txt
	$(COMPILE) --group viewer -o requirements/viewer.txt

.cache/lock/uv-$(UV_VERSION): $(DEV)
	$(BIN)/python -m venv --clear .cache/lock
	.cache/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

audit: $(DEV) ## ask the package index for known vulnerabilities of what the coordinator runs on
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements/runtime.txt

clean: ## remove the environments and all that tools left behind; a coordinator's data stay
	rm -rf .venv .venv-proto .venv-viewer .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov build dist
	rm -rf scripts/buf/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements/runtime.txt pyproject.toml
	@scripts/setup.sh runtime

$(DEV): requirements/dev.txt pyproject.toml
	@scripts/setup.sh dev

$(PROTO): requirements/proto.txt
	@scripts/setup.sh proto

$(VIEWER): requirements/viewer.txt
	@scripts/setup.sh viewer
