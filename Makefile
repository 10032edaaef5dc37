# Every command a person needs. `make` alone lists them.
PYTHON  ?= python3
TRAINER ?= yes
VENV    := .venv
BIN     := $(VENV)/bin
LOCKS   := locks/services.txt $(if $(filter-out no,$(TRAINER)),locks/trainer.txt)
INSTALL  = $(UV) pip install -q --python $(BIN)/python
STAMP   := $(VENV)/.installed-$(if $(filter-out no,$(TRAINER)),full,services)
DEV     := $(VENV)/.installed-dev
UV      := $(BIN)/uv
NODE    := node_modules/.installed
NPM     := $(shell command -v npm 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup run test check check-js format bench bench-scale bench-growth bench-science chaos train lock schemas proto manifests stack stack-down test-integration acceptance clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/uv.txt

# Bytecode of what services import is written once, here: otherwise each of the seven compiles its modules at the first
# start, and where PYTHONDONTWRITEBYTECODE is set at every start. torch's would take longer than all of the rest.
$(STAMP): $(UV) $(LOCKS) pyproject.toml
	$(INSTALL) --require-hashes --compile-bytecode -r locks/services.txt
	$(INSTALL) --require-hashes $(addprefix -r ,$(LOCKS))
	$(INSTALL) --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q services/astrolens
	@touch $@

$(DEV): $(STAMP) locks/dev.txt
	$(INSTALL) --require-hashes -r locks/dev.txt
	@touch $@

setup: $(STAMP)  ## install everything into .venv (TRAINER=no leaves torch out)

run: setup  ## start all services on the embedded default and open the console
	$(BIN)/astrolens up

# Whole files: module fixtures start systems, and tests of a file follow each other. (loadgroup of pytest-xdist 3.8 does not group under pytest 9.2.)
JOBS ?= 2
test: $(DEV)  ## run the test suite, two files at a time (JOBS=0: one)
	$(BIN)/python -m pytest $(if $(filter-out 0,$(JOBS)),-n $(JOBS) --dist loadfile --no-loadscope-reorder) $(PYTEST_ARGS)

# Development tools for the console's few Vue components. Users need no Node: nothing is built.
$(NODE): package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	@touch $@

check: $(DEV) check-js  ## lint, types, import rules, generated files; the console's JavaScript where Node is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ifdef NPM
check-js: $(NODE)
	npm run --silent check
else
check-js:
	@echo "LEFT OUT: types and lint of the console's JavaScript, for want of Node (20 or newer) with npm" >&2
endif

format: $(DEV) $(if $(NPM),$(NODE))  ## format and mend what the linters can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(if $(NPM),npm run --silent format)

fuzz: $(DEV)  ## decode 2,000 mutated files in the sandbox and read mutated tables (FUZZ_ARGS="--mutants 20000 --first 2000")
	$(BIN)/python -m tests.fuzz.main $(FUZZ_ARGS)

bench: $(DEV)  ## measure throughput and cost against the incumbent's way, embedded and on a running stack, in one run
	$(BIN)/python -m tests.bench.main $(if $(wildcard $(STACK_ENV)),--stack $(STACK_ENV) --ingestors 2) $(BENCH_ARGS)
	$(BIN)/python -m tests.bench.catalogues $(BENCH_CATALOGUE_ARGS)
	$(BIN)/python -m tests.bench.catalogue_step $(BENCH_STEP_ARGS)
	$(BIN)/python -m tests.bench.console_windows $(BENCH_WINDOW_ARGS)
	$(BIN)/python -m tests.bench.console_work $(BENCH_CONSOLE_ARGS)
	$(BIN)/python -m tests.bench.console_networks

bench-scale: $(DEV)  ## measure a steady night and a Rubin visit on the running stack with 1, 2 and 4 analyzers
	$(BIN)/python -m tests.bench.scale --stack $(STACK_ENV) $(BENCH_ARGS)

# Where filled archives are kept: a million images take some gigabytes and minutes to make.
BENCH_ARCHIVE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/astrolens-bench
bench-growth: $(DEV)  ## measure start-up, throughput, calls and memory with 0, 100,000 and 1,000,000 images, embedded and on a running stack
	$(BIN)/python -m tests.bench.growth --archive $(BENCH_ARCHIVE) $(if $(wildcard $(STACK_ENV)),--stack $(STACK_ENV)) $(BENCH_ARGS)

# Cutouts and inputs that the science benchmark has made are kept there too.
bench-science: $(DEV)  ## what the bundle finds on real galaxies and new skies, and how often it is wrong (BENCH_ARGS="--bundle FOLDER")
	$(BIN)/python -m tests.bench.science.main --cache $(BENCH_ARCHIVE)/science $(BENCH_ARGS)

stack: $(DEV)  ## start Kafka, MinIO, a MongoDB-wire server and Prometheus without Docker (docs/engines.md)
	$(BIN)/python -m deploy.stack up

stack-down: $(DEV)  ## stop what `make stack` started
	$(BIN)/python -m deploy.stack down

chaos: $(DEV)  ## kills while 5,000 galaxies flow, while catalogues are asked, in a retraining, and through the whole life of a model (hours)
	$(BIN)/python -m tests.chaos.random_kills $(CHAOS_ARGS)
	$(BIN)/python -m tests.chaos.crossref_kills $(CHAOS_CROSSREF_ARGS)
	$(BIN)/python -m tests.chaos.training_kills $(CHAOS_TRAINING_ARGS)
	$(BIN)/python -m tests.chaos.model_loop $(CHAOS_LOOP_ARGS)
	$(BIN)/python -m tests.chaos.model_loop --kills $(CHAOS_LOOP_ARGS)

STACK_ENV ?= $(or $(ASTROLENS_STACK_STATE),$(or $(XDG_STATE_HOME),$(HOME)/.local/state)/astrolens-stack)/stack.env
test-integration: $(DEV)  ## run the tests of the real engines on the running stack
	ASTROLENS_STACK_ENV=$(STACK_ENV) $(BIN)/python -m pytest tests/engines $(PYTEST_ARGS)

acceptance: $(DEV)  ## outages and kills on the running stack with 5,000 images and servers away for a minute (an hour)
	ASTROLENS_ACCEPTANCE_IMAGES=5000 ASTROLENS_ACCEPTANCE_AWAY_S=60 ASTROLENS_STACK_ENV=$(STACK_ENV) $(BIN)/python -m pytest tests/engines -m acceptance -rP $(PYTEST_ARGS)

train: setup  ## train and calibrate the bundle from ../shared/data and the simulated sky (goes on where it was interrupted)
	$(BIN)/python -m astrolens.trainer

proto: $(DEV)  ## generate the gRPC code from proto/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=services --grpc_python_out=services --mypy_out=services --mypy_grpc_out=services $(shell find proto -name '*.proto')

schemas: $(DEV)  ## generate schemas/ from contracts/
	$(BIN)/python -m pytest tests/contract --update-golden -q

manifests: $(DEV)  ## write the topics, rules and dashboards of k8s/ and compose from their declarations
	$(BIN)/python -m deploy.render

# What each container image installs: one lock an extra, so that no image carries another service's packages.
IMAGES  := ingestor inference inference-gpu crossref ranking trainer notifier console
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header
lock: $(UV)  ## resolve the locks again (add UPGRADE=--upgrade for newer versions)
	@cat locks/dev.txt locks/trainer.txt > locks/all.txt  # what is pinned stays, unless UPGRADE says otherwise
	$(COMPILE) $(UPGRADE) --extra all --extra trainer --extra dev pyproject.toml -o locks/all.txt
	$(COMPILE) -c locks/all.txt --extra all pyproject.toml -o locks/services.txt
	$(COMPILE) -c locks/all.txt --extra trainer pyproject.toml -o locks/trainer.txt
	$(COMPILE) -c locks/all.txt --extra all --extra dev pyproject.toml -o locks/dev.txt
	for extra in $(IMAGES); do $(COMPILE) -c locks/all.txt --extra $$extra --extra engines --extra tracing pyproject.toml -o locks/images/$$extra.txt || exit 1; done
	printf "uv\nsetuptools\n" | $(COMPILE) - -o locks/uv.txt
	rm locks/all.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) node_modules build dist .pytest_cache .mypy_cache .ruff_cache
