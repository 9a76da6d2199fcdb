# Every target works on a fresh checkout and needs only make and Python 3.11 or newer, unless its
# help says otherwise.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Clients whose packages conflict with those of the tests have separate folders.
SDKS := openai==1.109.1 openrouter==0.11.46 langchain-openrouter==0.2.9 llm-openrouter==0.7.1
# These share one folder.
FRAMEWORKS := langchain-openai==1.7.4 pydantic-ai-slim[openai]==2.68.0 openai-agents==0.24.0
NODE_SDKS := tests/e2e/clients/node
NODE_INSTALLED := $(NODE_SDKS)/node_modules/.package-lock.json
# Debian packages that run the samples of the documentation, in addition to Python and Node.
SAMPLE_TOOLS := ruby php-cli php-curl php-guzzlehttp-guzzle golang-go default-jdk-headless \
	libunirest-java-java
# Client generators, and the libraries that OpenAPI Generator's Python clients need.
GENERATORS := openapi-python-client==0.29.1 openapi-generator-cli==7.26.0 \
	pydantic python-dateutil typing-extensions urllib3
NODE_GENERATORS := tests/generators
NODE_GENERATORS_INSTALLED := $(NODE_GENERATORS)/node_modules/.package-lock.json
# The tool of `make mutants`, whose packages are not those of the tests.
MUTATOR := cosmic-ray==8.7.0
GENERATOR_TOOLS := java mvn go node
# The gateway to which `make bench` compares ModelGates.
PORTKEY := benchmarks/portkey
PORTKEY_INSTALLED := $(PORTKEY)/node_modules/.package-lock.json
IN_PARALLEL := -n auto --dist=worksteal
# `python -m` is needed to find the plugin that counts branches in each worker.
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
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(VENV)/run.stamp ## Install `modelgates` and its dependencies into .venv
	@echo 'ModelGates is installed in $(VENV). To use it in this shell, run:'
	@echo
	@echo '  export PATH="$(CURDIR)/$(BIN):$$PATH"'
	@echo
	@echo 'Then try `modelgates demo`, or follow docs/guides/overview/quickstart.md.'

.PHONY: setup-dev
setup-dev: $(VENV)/dev.stamp $(patsubst %,$(VENV)/sdks/%.stamp,$(subst ==,-,$(SDKS)) frameworks) $(NODE_INSTALLED) ## Install the dependencies of tests and checks as well
	@:

.PHONY: demo
demo: $(VENV)/run.stamp ## Run a demo on a temporary database with an account, credits and keys
	@$(BIN)/modelgates demo

.PHONY: serve
serve: $(VENV)/run.stamp ## Run the server on the database in this folder
	@$(BIN)/modelgates serve

.PHONY: test
test: setup-dev ## Run all tests, and check the minimum coverage
	@$(MEASURED) -r fEs
	@$(BIN)/python -m tests.coverage_floor

.PHONY: test-fast
test-fast: setup-dev ## Run the tests that need no server, in about a minute
	@$(BIN)/pytest $(IN_PARALLEL) -m 'not slow' $(FAST)

.PHONY: coverage
coverage: setup-dev ## List untested branches of core and dialects; fail below 98%
	@$(MEASURED) tests/core tests/dialects tests/service
	@$(BIN)/python -m tests.coverage_floor

.PHONY: test-one
test-one: setup-dev ## Run some tests: make test-one T=tests/core/ledger/test_rules.py
	@test -n "$(T)" || { echo 'Name the tests in T: make test-one T=tests/core/ledger/test_rules.py'; exit 1; }
	@$(BIN)/pytest $(T)

.PHONY: test-samples
test-samples: setup-dev ## Run the samples of the documentation in all languages (needs Debian)
	@dpkg -s $(SAMPLE_TOOLS) >/dev/null 2>&1 || { echo 'Installing the tools of the samples ...'; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
		apt-get -qq install --no-install-recommends $(SAMPLE_TOOLS) >/dev/null; } || { \
		echo 'The installation failed. The samples need these Debian packages: $(SAMPLE_TOOLS)'; exit 1; }
	@ALL_SAMPLES=1 $(BIN)/pytest $(IN_PARALLEL) tests/e2e/test_samples.py

.PHONY: test-generators
test-generators: setup-dev $(VENV)/generators.stamp $(NODE_GENERATORS_INSTALLED) ## Generate clients from the OpenAPI document with seven generators, and run them
	@for tool in $(GENERATOR_TOOLS); do command -v "$$tool" >/dev/null || { \
		echo "$$tool was not found. Install a JDK (17 or newer), Maven, Go (1.23 or newer) and Node (20 or newer)."; exit 1; }; done
	@ALL_GENERATORS=1 $(BIN)/pytest tests/generators

.PHONY: test-codex
test-codex: setup-dev ## Let the real Codex do a task over each dialect, without any network but loopback
	@cd tests/e2e/clients/codex && npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@unshare --map-root-user --net $(BIN)/python -m tests.e2e.dialects.codex

.PHONY: check
check: setup-dev ## Check format, lint, types and layers, without network
	@$(BIN)/ruff format --check . || { echo 'Some files are not formatted. Run make fix.'; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: fix
fix: setup-dev ## Format the code and apply the fixes of the linter
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: bench
bench: setup-dev $(PORTKEY_INSTALLED) ## Run the benchmarks and print ratios
	@$(BIN)/python -m benchmarks

.PHONY: bench-against
bench-against: setup-dev ## Compare CPU time per call with another commit: make bench-against REF=main
	@test -n "$(REF)" || { echo 'Name the commit in REF: make bench-against REF=main'; exit 1; }
	@$(BIN)/python -m benchmarks.against $(if $(TURNS),--turns $(TURNS)) $(REF)

.PHONY: prices
prices: setup-dev ## Regenerate the price list from the pinned genai-prices
	@$(BIN)/python -m tools.price_seeds

.PHONY: reference
reference: setup-dev ## Write docs/reference/dialects.md from the tables in the code
	@$(BIN)/python -m tools.dialect_reference

.PHONY: record
record: setup-dev ## Record the responses and stored bytes in tests/recorded again
	@RECORD=1 $(BIN)/pytest -q tests/recorded && git diff --stat -- tests/recorded

.PHONY: crash
crash: setup-dev ## Kill the server 1,000 times, fill its disk 40 times, and count lost commits
	@$(BIN)/python -m tests.crash.kills --kills 1000
	@$(BIN)/python -m tests.crash.full_disk --rounds 40

.PHONY: overrun
overrun: setup-dev ## Send 100,000 random calls of each dialect to simulated providers and count overruns
	@$(BIN)/python -m tests.overrun.run --calls 100000
	@$(BIN)/python -m tests.overrun.dialects --calls 100000

.PHONY: mutants
mutants: setup-dev $(VENV)/mutator.stamp ## Plant 400 faults in core, dialects and store; fail if more than 5% survive
	@$(BIN)/python -m tools.mutants.run --python $(VENV)/mutator/bin/python $(if $(SEED),--seed $(SEED))

.PHONY: lock
lock: $(UV) ## Pin the newest dependencies that are old enough (pyproject.toml, [tool.uv])
	@$(COMPILE) --group dev -o requirements/dev.txt pyproject.toml
	@$(COMPILE) --group build -c requirements/dev.txt -o requirements/run.txt pyproject.toml
	@for sdk in $(SDKS); do \
		echo "$$sdk" | $(COMPILE) -o "requirements/sdk-$${sdk%%==*}-$${sdk##*==}.txt" - || exit; done
	@echo '$(FRAMEWORKS)' | tr ' ' '\n' | $(COMPILE) -o requirements/sdk-frameworks.txt -
	@printf '%s\n' $(GENERATORS) | $(COMPILE) -o requirements/generators.txt -
	@echo '$(MUTATOR)' | $(COMPILE) -o requirements/mutator.txt -

.PHONY: clean
clean: ## Delete the environment and all caches
	@rm -rf $(VENV) $(NODE_SDKS)/node_modules $(NODE_GENERATORS)/node_modules $(PORTKEY)/node_modules tests/e2e/clients/codex/node_modules .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

COMPILE = $(UV) pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# A virtual environment depends on its path: one that was copied with the checkout is replaced.
ifneq ($(shell cat $(VENV)/made-in 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/made-in
endif
$(VENV)/made-in:
	@"$(PYTHON)" $(RUNS) || { echo 'Python 3.11 or newer was not found.' \
		'Install it, or name it with make PYTHON=/path/to/python3.'; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo '$(PYTHON) has no venv module.' \
		'Install it (Debian, Ubuntu: apt install python3-venv).'; exit 1; }
	@echo 'Creating $(VENV) ...'
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

# Tools whose packages conflict with those of the tests have separate environments.
$(VENV)/generators.stamp $(VENV)/mutator.stamp: $(VENV)/%.stamp: requirements/%.txt $(VENV)/made-in
	@echo 'Installing the packages of requirements/$*.txt ...'
	@rm -rf $(VENV)/$*
	@$(BIN)/python -m venv $(VENV)/$*
	@$(VENV)/$*/bin/pip install -qq --require-hashes -r $<
	@touch $@

# Without Node 20 or newer, these are not installed, and the tests that need them are skipped.
$(NODE_INSTALLED) $(NODE_GENERATORS_INSTALLED) $(PORTKEY_INSTALLED): %/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@$(NODE_RUNS) || exit 0; echo 'Installing the Node packages of $* ...'; \
		cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null && \
		touch node_modules/.package-lock.json

$(UV): $(VENV)/made-in
	@$(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/pip install -qq uv==$(UV_VERSION)
