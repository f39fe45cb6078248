# Everything goes through one starter, which installs what is missing: dev/stack.py, standard library only.
PYTHON ?= python3
STACK := $(PYTHON) dev/stack.py
BIN := .venv/bin
PROFILE ?= run

.DEFAULT_GOAL := help
.PHONY: help run up smoke-test stop status logs test unit one check lint format types shell migrations servers servers-test stop-test \
  lock bench chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start everything, run the smoke test, stay up until Ctrl-C
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

test: ## unit, integration and acceptance tests on real servers (ARGS="-k name", KEEP=1 leaves the servers up)
	@$(STACK) test $(if $(KEEP),--keep) $(if $(ARGS),-- $(ARGS))

unit: ## unit tests: no server, under a minute (ARGS="-k name")
	@$(STACK) unit $(if $(ARGS),-- tests/unit $(ARGS))

one: ## one test file or test, on servers that stay up: make one T=tests/integration/ops/test_health.py::test_name
	@$(if $(T),$(STACK) test --keep -- $(T),echo "Say which: make one T=path::name (a path below tests/, as pytest wants it)"; exit 2)

check: ## lint, format, types, dependencies, migrations, documents, gateway
	@$(STACK) check --profile test

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

lock: ## pin the newest versions of requirements/*.in, with hashes
	@for name in base dev; do echo "  $$name.txt"; $(BIN)/uv pip compile --upgrade --quiet --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt || exit 1; done

bench: ## benchmarks: prints measurements
	@$(STACK) test -- -s -m bench tests/bench

chaos: ## kills and freezes servers and processes of its own, 200 rounds (RUNS=20, SEED=a failed round's)
	@CHAOS_RUNS=$(RUNS) CHAOS_SEED=$(SEED) $(STACK) test -- -s -m chaos tests/chaos

clean: ## stop everything and remove data, logs and secrets of this checkout
	@$(STACK) clean --profile run
	@$(STACK) clean --profile test
