# Every target works alone on a fresh checkout: it needs make and Python 3.11 or newer, nothing else.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Clients that need other packages than ours live apart, each under its name and version.
SDKS := openai==1.109.1 openrouter==0.11.46 langchain-openrouter==0.2.9
NODE_SDKS := tests/e2e/clients/node
NODE_INSTALLED := $(NODE_SDKS)/node_modules/.package-lock.json
# What runs the documentation's samples beside Python and Node, with two libraries they use.
SAMPLE_TOOLS := ruby php-cli php-curl php-guzzlehttp-guzzle golang-go default-jdk-headless \
	libunirest-java-java
# Generators of clients, with the libraries that the Python clients of OpenAPI Generator use.
GENERATORS := openapi-python-client==0.29.1 openapi-generator-cli==7.26.0 \
	pydantic python-dateutil typing-extensions urllib3
NODE_GENERATORS := tests/generators
NODE_GENERATORS_INSTALLED := $(NODE_GENERATORS)/node_modules/.package-lock.json
GENERATOR_TOOLS := java mvn go node
# The gateway that `make bench` compares with.
PORTKEY := benchmarks/portkey
PORTKEY_INSTALLED := $(PORTKEY)/node_modules/.package-lock.json
IN_PARALLEL := -n auto --dist=worksteal
# `python -m` finds the plugin, which counts branches in each worker.
MEASURED = $(BIN)/python -m pytest -p tests.coverage_floor $(IN_PARALLEL)
FAST := tests/core tests/dialects tests/service tests/store tests/web tests/telemetry
NODE_RUNS := node -e 'process.exit(+(parseInt(process.versions.node) < 20))' 2>/dev/null
UV := $(VENV)/lock/bin/uv
UV_VERSION := 0.13.9
RUNS := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" $(RUNS) && { echo "$$p"; break; }; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
PIP_INSTALL := $(BIN)/python -m pip install -qq

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(VENV)/run.stamp ## install what `modelgates` needs to run into .venv
	@:

.PHONY: setup-dev
setup-dev: $(VENV)/dev.stamp $(patsubst %,$(VENV)/sdks/%.stamp,$(subst ==,-,$(SDKS))) $(NODE_INSTALLED) ## install what tests and checks need as well
	@:

.PHONY: demo
demo: setup ## start a demo: a throw-away ledger with an account, credits and keys
	@$(BIN)/modelgates demo

.PHONY: serve
serve: setup ## start the server on this folder's database
	@$(BIN)/modelgates serve

.PHONY: test
test: setup-dev ## run the whole test suite, and check the floor of `make coverage`
	@$(MEASURED) -r fEs
	@$(BIN)/python -m tests.coverage_floor

.PHONY: test-fast
test-fast: setup-dev ## run the tests of the rooms that need no server: about a minute
	@$(BIN)/pytest $(IN_PARALLEL) -m 'not slow' $(FAST)

.PHONY: coverage
coverage: setup-dev ## list the branches of core and dialects that no test takes; at least 98 % must be
	@$(MEASURED) tests/core tests/dialects tests/service
	@$(BIN)/python -m tests.coverage_floor

.PHONY: test-one
test-one: setup-dev ## run some tests: make test-one T=tests/core/ledger/test_rules.py
	@test -n "$(T)" || { echo 'Say which: make test-one T=tests/core/ledger/test_rules.py'; exit 1; }
	@$(BIN)/pytest $(T)

.PHONY: test-samples
test-samples: setup-dev ## run the samples of the docs in all languages, with tools of Debian
	@dpkg -s $(SAMPLE_TOOLS) >/dev/null 2>&1 || { echo 'Installing what samples need ...'; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
		apt-get -qq install --no-install-recommends $(SAMPLE_TOOLS) >/dev/null; } || { \
		echo 'Not installed; the samples need, by the names of Debian: $(SAMPLE_TOOLS)'; exit 1; }
	@ALL_SAMPLES=1 $(BIN)/pytest $(IN_PARALLEL) tests/e2e/test_samples.py

.PHONY: test-generators
test-generators: setup-dev $(VENV)/generators.stamp $(NODE_GENERATORS_INSTALLED) ## write clients out of the OpenAPI document with seven generators and run them
	@for tool in $(GENERATOR_TOOLS); do command -v "$$tool" >/dev/null || { \
		echo "There is no $$tool here; this needs a JDK from 17 on, Maven, Go from 1.23 on and Node from 20 on"; exit 1; }; done
	@ALL_GENERATORS=1 $(BIN)/pytest tests/generators

.PHONY: check
check: setup-dev ## check format, lint, types and layers, without network
	@$(BIN)/ruff format --check . || { echo 'Run make fix'; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: fix
fix: setup-dev ## format, and repair what the linter can repair
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: bench
bench: setup-dev $(PORTKEY_INSTALLED) ## run the benchmarks and print ratios
	@$(BIN)/python -m benchmarks

.PHONY: bench-against
bench-against: setup-dev ## compare CPU time per call with a commit's: make bench-against REF=main
	@test -n "$(REF)" || { echo 'Say with which: make bench-against REF=main'; exit 1; }
	@$(BIN)/python -m benchmarks.against $(if $(TURNS),--turns $(TURNS)) $(REF)

.PHONY: prices
prices: setup-dev ## write the price list anew from the pinned genai-prices
	@$(BIN)/python -m tools.price_seeds

.PHONY: record
record: setup-dev ## record anew what the gateway says and stores, for tests/recorded
	@RECORD=1 $(BIN)/pytest -q tests/recorded && git diff --stat -- tests/recorded

.PHONY: crash
crash: setup-dev ## kill the server 1,000 times and count lost commits
	@$(BIN)/python -m tests.crash.kills --kills 1000

.PHONY: overrun
overrun: setup-dev ## send 100,000 drawn calls to a model of a provider and count overruns
	@$(BIN)/python -m tests.overrun.run --calls 100000

.PHONY: lock
lock: $(UV) ## pin the newest dependencies that are old enough (pyproject.toml, [tool.uv])
	@$(COMPILE) --group dev -o requirements/dev.txt pyproject.toml
	@$(COMPILE) --group build -c requirements/dev.txt -o requirements/run.txt pyproject.toml
	@for sdk in $(SDKS); do \
		echo "$$sdk" | $(COMPILE) -o "requirements/sdk-$${sdk%%==*}-$${sdk##*==}.txt" - || exit; done
	@printf '%s\n' $(GENERATORS) | $(COMPILE) -o requirements/generators.txt -

.PHONY: clean
clean: ## delete the environment and all caches
	@rm -rf $(VENV) $(NODE_SDKS)/node_modules $(NODE_GENERATORS)/node_modules $(PORTKEY)/node_modules .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

COMPILE = $(UV) pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# A virtual environment is bound to its path: one that was copied with the checkout is made anew.
ifneq ($(shell cat $(VENV)/made-in 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/made-in
endif
$(VENV)/made-in:
	@"$(PYTHON)" $(RUNS) || { echo 'ModelGates needs Python 3.11 or newer, and found none:' \
		'install it, or name it with make PYTHON=/path/to/python3'; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo '$(PYTHON) has no venv module:' \
		'install it (Debian, Ubuntu: apt install python3-venv)'; exit 1; }
	@echo 'Making $(VENV) ...'
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@echo '$(CURDIR)' > $@

define install
	@echo "Installing $$(grep -c '^[a-z]' $<) pinned packages ..."
	@$(PIP_INSTALL) --require-hashes -r $<
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
endef

$(VENV)/run.stamp: requirements/run.txt pyproject.toml $(VENV)/made-in
	$(install)

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml $(VENV)/made-in
	$(install)
	@touch $(VENV)/run.stamp

$(VENV)/sdks/%.stamp: requirements/sdk-%.txt $(VENV)/made-in
	@echo 'Installing the $* client ...'
	@rm -rf $(VENV)/sdks/$*
	@$(PIP_INSTALL) --require-hashes --target $(VENV)/sdks/$* -r $<
	@touch $@

$(VENV)/generators.stamp: requirements/generators.txt $(VENV)/made-in
	@echo 'Installing generators of clients ...'
	@rm -rf $(VENV)/generators
	@$(BIN)/python -m venv $(VENV)/generators
	@$(VENV)/generators/bin/pip install -qq --require-hashes -r $<
	@touch $@

# Without Node 20 or newer there are none of these, and what needs them is left out.
$(NODE_INSTALLED) $(NODE_GENERATORS_INSTALLED) $(PORTKEY_INSTALLED): %/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@$(NODE_RUNS) || exit 0; echo 'Installing what $* needs of Node ...'; \
		cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null && \
		touch node_modules/.package-lock.json

$(UV): $(VENV)/made-in
	@$(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/pip install -qq uv==$(UV_VERSION)
