# newsmill: `make demo` shows it, `make test` proves it. Needs make and Python >= 3.11, nothing else installed by hand.

.PHONY: help demo test check bench quality lock clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The newest Python that this release is tested with, else any newer python3; it must be able to make environments.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)

help:
	@echo "make demo [KEEP=1]   start Kafka and the pipeline, publish the samples, show the events (KEEP=1 leaves it running)"
	@echo "make test [ARGS=…]   all tests, on a real Kafka"
	@echo "make check           lint, format, types, import rules"
	@echo "make bench           side by side with peers"
	@echo "make quality         accuracy on labelled data"
	@echo "make lock            pin the newest allowed packages and Kafka's jars"
	@echo "make clean           remove .venv and all caches of this folder"

demo: .venv/runtime.stamp
	$(BIN)/newsmill demo $(if $(KEEP),--keep)

test: .venv/dev.stamp
	$(BIN)/pytest $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev.stamp
	$(BIN)/python -m bench $(ARGS)

quality: .venv/dev.stamp
	$(BIN)/pytest tests/quality -s $(ARGS)
	$(BIN)/python tests/quality/test_duplicates.py
	$(BIN)/python tests/quality/test_stories.py

# A stamp is younger than what it was made from, so a second run installs nothing. Every package is pinned by hash,
# also those that build newsmill itself; newsmill is linked, not copied.
.venv/runtime.stamp: requirements/runtime.txt requirements/build.txt pyproject.toml
.venv/dev.stamp: requirements/dev.txt requirements/build.txt pyproject.toml
.venv/%.stamp:
	@test -n "$(PYTHON)" || { echo >&2 "newsmill needs Python 3.11 or newer with the venv module \
	(Debian, Ubuntu: apt install python3-venv); name one with make PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || echo "making .venv with $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing requirements/$*.txt"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/$*.txt -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header

lock: .venv/dev.stamp
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	$(LOCK) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(BIN)/python -m newsmill.broker.resolve

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
