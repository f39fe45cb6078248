# Everything goes through one starter, which installs what is missing: dev/stack.py, standard library only.
PYTHON ?= python3
STACK := $(PYTHON) dev/stack.py
BIN := .venv/bin
PROFILE ?= run
BENCHMARKS := PYTHONPATH=.:platform $(BIN)/python -m dev.docs.benchmarks --write
# TLS=1: the gateway speaks TLS, with a certificate that signs itself
ifdef TLS
export MUCKARD_TLS := self-signed
endif

.DEFAULT_GOAL := help
.PHONY: help run up smoke-test stop status logs test unit one check docs lint format types shell migrations servers servers-test stop-test \
  lock vendor bench load chaos fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start everything, run the smoke test, stay up until Ctrl-C (TLS=1: by HTTPS)
	@$(STACK) run --profile $(PROFILE)

up: ## as run, but come back and leave everything up (make stop ends it)
	@$(STACK) run --profile $(PROFILE) --detach

smoke-test: ## act as a client of the platform that is up: register, run a bot, see it trade
	@$(STACK) smoke-test --profile $(PROFILE)

stop: ## stop every process of the platform
	@$(STACK) stop --profile $(PROFILE)

status: ## what runs
	@$(STACK) status --profile $(PROFILE)

logs: ## the end of every log, or of one: make logs NAME=relay
	@$(STACK) logs --profile $(PROFILE) $(NAME)

test: ## unit, integration and acceptance tests on real servers (ARGS="-k name", LANES=2 all in two lanes, KEEP=1 leaves the servers up)
	@$(STACK) test $(if $(KEEP),--keep) $(if $(LANES),--lanes $(LANES)) $(if $(ARGS),-- $(ARGS))

unit: ## unit tests: no server, under a minute (ARGS="-k name")
	@$(STACK) unit $(if $(ARGS),-- tests/unit $(ARGS))

one: ## one test file or test, on servers that stay up: make one T=tests/integration/ops/test_health.py::test_name
	@$(if $(T),$(STACK) test --keep -- $(T),echo "Say which: make one T=path::name (a path below tests/, as pytest wants it)"; exit 2)

check: ## lint, format, types, dependencies, migrations, documents, gateway
	@$(STACK) check --profile test

docs: ## the documentation site, in .local/site/index.html (links and anchors checked)
	@$(BIN)/mkdocs build --strict --quiet && echo "  .local/site/index.html"

lint: ## ruff: what it finds
	@$(BIN)/ruff check .

format: ## ruff: format and mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: ## mypy --strict
	@MUCKARD_ENVIRONMENT=test $(BIN)/mypy

shell: ## a Python shell with Django on the data of `make run` (SERVICE=kraken: as another service than staff)
	@$(STACK) manage --profile $(PROFILE) -- shell

migrations: ## write the migrations that changed models need
	@$(STACK) manage --profile $(PROFILE) -- makemigrations

servers: ## PostgreSQL, RabbitMQ, Redis and Kafka only
	@$(STACK) servers --profile $(PROFILE)

servers-test: ## the servers of the tests, left up
	@$(STACK) servers --profile test

stop-test: ## stop the servers of the tests
	@$(STACK) stop --profile test
	@$(STACK) stop --profile test-2

lock: ## pin the newest versions of requirements/*.in, with hashes
	@for name in base dev; do echo "  $$name.txt"; $(BIN)/uv pip compile --upgrade --quiet --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt || exit 1; done

vendor: ## fetch the browser libraries that requirements/vendor.toml pins
	@$(BIN)/python -m dev.install.vendor --fetch

bench: ## benchmarks: prints measurements and writes them to docs/benchmarks.md (T=tests/bench/test_relay.py: those)
	@$(STACK) test -- -s -m bench $(or $(T),tests/bench); code=$$?; $(BENCHMARKS) && exit $$code

load: ## 1 000 traders at once for five minutes, written to docs/benchmarks.md (LOAD_USERS=200 LOAD_SECONDS=60 LOAD_EVERY=1)
	@LOAD_USERS=$(or $(LOAD_USERS),1000) LOAD_SECONDS=$(or $(LOAD_SECONDS),300) LOAD_EVERY=$(or $(LOAD_EVERY),2) \
	  LOAD_WEB_WORKERS=$(or $(LOAD_WEB_WORKERS),1) $(STACK) test -- -s -m load tests/load; code=$$?; \
	  $(BENCHMARKS) && exit $$code

chaos: ## kills and freezes servers and processes of its own, 200 rounds (RUNS=20, SEED=a failed round's)
	@CHAOS_RUNS=$(RUNS) CHAOS_SEED=$(SEED) $(STACK) test -- -s -m chaos tests/chaos

fuzz: ## requests made from the OpenAPI documents, ten minutes a service (FUZZ_SECONDS=60 FUZZ_SEED=a failed run's)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(STACK) test -- -s -m fuzz tests/acceptance/fuzz

clean: ## stop everything and remove data, logs and secrets of this checkout
	@$(STACK) clean --profile run
	@$(STACK) clean --profile test
	@$(STACK) clean --profile test-2
