# Everything runs from .venv, which is made from requirements.lock. `make help` lists the targets.
PYTHON ?= python3
N ?= 200
SEED ?= 1
RUNS ?= 20
ARGS ?=
PYTHONS ?= python3.10 python3.11 python3.12 python3.13
# Twice as many as processors: a test of real servers and workers waits for them half of its time.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n > 4 ? 8 : 2 * n)))
# Where `make scenarios` runs them: processes-redis, processes-rabbitmq, containers-redis, containers-rabbitmq, joined by "or".
GROUNDS ?= processes-redis

# What tests want of a machine.
SERVERS := broker redis-server chromium rabbitmq-server postgresql toxiproxy-server ip engine images
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Some images set it. Then each of the thousand interpreters that the tests start compiles the harness anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test exhaustive check all scenarios bench soak leaks certificates pythons lock clean

help:
	@echo "make demo    a broken task and its corrected twin on a real broker, in under a minute"
	@echo "make test    the tests; installs servers, an engine and chromium where it may (Debian, Ubuntu)"
	@echo "make check   ruff, mypy --strict, import layers, tidiness"
	@echo "make exhaustive  what make test tries a part of: every sample explored, planted bugs hunted, ... (many minutes)"
	@echo "make all     test, check, demo, exhaustive and scenarios (an hour and more), as CI does each night"
	@echo "make scenarios   every scenario ends as its tag says (minutes); GROUNDS=\"containers-rabbitmq\" for elsewhere"
	@echo "make bench   what watching costs, into reports/bench/latest.json"
	@echo "make soak    N=$(N) SEED=$(SEED): kills by the hundred, into reports/soak/latest.json"
	@echo "make leaks   RUNS=$(RUNS): runs in containers, in a row and four at a time, leave nothing at the engine"
	@echo "make certificates   RUNS=$(RUNS): runs, and two at once, write the same bytes"
	@echo "make pythons   PYTHONS=\"python3.10 python3.13\": right samples have the same worlds on each"
	@echo "make lock    requirements.lock anew from pyproject.toml (needs the network)"
	@echo "make clean   all that was built or reported"

$(READY): requirements.lock pyproject.toml tools/setup-venv
	@PYTHON=$(PYTHON) tools/setup-venv $(VENV)
	@touch $@

demo: $(READY)
	@tools/setup-servers broker
	@$(BIN)/celery-harness demo $(ARGS)

test: $(READY)
	@tools/setup-servers $(SERVERS)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS) || [ $$? = 5 ]

exhaustive: $(READY)
	@tools/setup-servers $(SERVERS)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m exhaustive $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=harness/agent $(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/tidy

all:
	@.ci/run test check demo exhaustive scenarios

scenarios: $(READY)
	@tools/setup-servers broker redis-server rabbitmq-server postgresql engine images
	@$(BIN)/python -m pytest -q -m every_scenario -k "$(GROUNDS)" tests/detection $(ARGS)

bench: $(READY)
	@tools/setup-servers broker redis-server engine images
	@tools/setup-toxiproxy >/dev/null
	@$(BIN)/python tests/bench

soak: $(READY)
	@tools/setup-servers broker
	@N=$(N) SEED=$(SEED) $(BIN)/python tests/bench/soak.py

leaks: $(READY)
	@tools/setup-servers engine images
	@N=$(RUNS) $(BIN)/python tests/bench/leaks.py

certificates: $(READY)
	@tools/setup-servers broker
	@N=$(RUNS) $(BIN)/python tests/bench/certificates.py

pythons: $(READY)
	@tools/setup-servers broker
	@$(BIN)/python tests/bench/pythons.py $(PYTHONS)

lock: $(READY)
	@tools/lock

clean:
	@if [ -x $(BIN)/celery-harness ]; then $(BIN)/celery-harness clean || true; fi
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find reports -mindepth 1 -maxdepth 1 ! -name README.md ! -name sample -exec rm -rf {} +
