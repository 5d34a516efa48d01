.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=
SOURCES := src tests docs bench examples

##@ Use it
.PHONY: demo
demo: venv-local  ## Agents at work on three nodes, the primary killed, nothing lost; ARGS="--agents 4"
	@$(BIN)/outlive demo $(ARGS)

##@ Work on it
.PHONY: venv venv-local
venv:  ## The virtual environment .venv, with everything; made by itself where it is needed
	@tools/venv dev
venv-local:
	@tools/venv local

.PHONY: check
check: format-check lint types layers docs test  ## Everything that must be green

.PHONY: test test-faults unit
test: venv  ## All tests, real failovers included; ARGS="-k lease -x"
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)
test-faults: venv  ## Faults in full: a thousand operations, cut COMMITs, failovers, then each fault under load
	@OUTLIVE_FAULTS=full $(BIN)/python -m pytest tests/integration/client/test_exactly_once.py \
	  tests/integration/client/test_batch.py tests/integration/client/test_writer.py \
	  tests/integration/test_exactly_once_failover.py tests/integration/client/test_no_leak.py \
	  tests/integration/backup/test_archiving_kills.py tests/integration/backup/test_push_phases.py \
	  tests/integration/backup/test_any_moment.py $(ARGS)
	@$(BIN)/python bench/faults.py
unit: venv  ## The tests that need no database: seconds
	@$(BIN)/python -m pytest tests/unit tests/property $(ARGS)

.PHONY: format format-check lint types layers
format: venv  ## Lay out the code, and mend what can be mended by rule
	@$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)
format-check: venv
	@$(BIN)/ruff format --check $(SOURCES)
lint: venv  ## ruff
	@$(BIN)/ruff check $(SOURCES)
types: venv  ## mypy --strict
	@$(BIN)/mypy
layers: venv  ## import-linter: who may import whom
	@$(BIN)/lint-imports

.PHONY: docs
docs: venv  ## The documentation, in docs/_build/html; a warning is an error
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html

##@ Measure it
.PHONY: bench-client
bench-client: venv  ## The client beside other ways to PostgreSQL, in one run; ARGS="--rounds 10 --tasks 8"
	@$(BIN)/python -m pip install --quiet --quiet --no-input --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python bench/client.py $(ARGS)

.PHONY: bench-state
bench-state: venv  ## Agents' state beside where it is usually kept, in one run; ARGS="--subject graph --scale"
	@$(BIN)/python -m pip install --quiet --quiet --no-input --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python bench/state.py $(ARGS)

.PHONY: bench-tasks
bench-tasks: venv  ## The queue of tasks: enqueues by how workers are woken, claims beside ended tasks; ARGS="--ended 1000000"
	@$(BIN)/python bench/tasks.py $(ARGS)

.PHONY: bench-wal
bench-wal: venv  ## WAL archiving beside pgBackRest and Barman, and how late the store is; ARGS="--segments 48"
	@$(BIN)/python bench/wal.py $(ARGS)

.PHONY: bench-backup
bench-backup: venv  ## Backups, then restores, beside what else does them; ARGS="--megabytes 1024 --rounds 3"
	@$(BIN)/python -m pip install --quiet --quiet --no-input --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python bench/backup.py $(ARGS)
	@$(BIN)/python bench/restore.py $(ARGS)

.PHONY: bench-restore
bench-restore: venv  ## Restores to a running, verified server beside Barman's way; ARGS="--megabytes 1024 --rounds 2"
	@$(BIN)/python -m pip install --quiet --quiet --no-input --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python bench/restore.py $(ARGS)

.PHONY: bench-faults
bench-faults: venv  ## Faults on a cluster under load, what was lost and for how long; ARGS="--fault node"
	@$(BIN)/python bench/faults.py $(ARGS)

##@ Keep house
.PHONY: pins clean help
pins:  ## Renew constraints.txt: the newest versions that pyproject.toml allows
	@tools/pins
clean:  ## Remove what was built, the virtual environment too; a cluster's data stays
	@rm -rf .venv build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## This
	@awk 'BEGIN { FS = ":.*  ## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*  ## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
