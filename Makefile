# Each target sets up everything by itself in .venv, from Python 3.11+, make and a package
# index. .venv/ready is newer than pyproject.toml once that is done, so the next run needs
# no network. Python to begin with: `make demo PYTHON=python3.13`.
PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin

.PHONY: help setup demo test bench check format protos certs compose clean

help:            ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

setup: .venv/ready  ## make .venv with everything the other targets need

demo: .venv/ready   ## train the example network on real digits, see the chain rule
	$(BIN)/chainrule demo

test: .venv/ready   ## the fast tests, on two processes
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q $(PYTEST_ARGS)

bench: .venv/ready  ## what importing, one gradient and one step cost here
	$(BIN)/python benchmarks/run.py

check: .venv/ready  ## format, lint, types, import contracts, protocol
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos

format: .venv/ready ## rewrite the sources in the house format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

protos: .venv-protos/ready ## regenerate client/chainrule/proto from protos/
	.venv-protos/bin/python protos/generate.py

certs:           ## development certificates and a token under deploy/
	deploy/make-certs

compose: certs   ## build the image and train the example against it
	docker-compose --profile client up --build --abort-on-container-exit --exit-code-from client

clean:           ## remove the environments and what tools left
	rm -rf .venv .venv-protos build dist .mypy_cache .ruff_cache .pytest_cache

# A half-made environment would look ready, so the stamp is written last.
.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $$($(PYTHON) --version) is too old; chainrule needs 3.11 or newer: make PYTHON=python3.13" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# The generator needs an older protobuf than the one that runs, hence its own environment.
.venv-protos/ready: pyproject.toml
	$(PYTHON) -m venv .venv-protos
	.venv-protos/bin/python -m pip install --quiet --editable '.[protos]'
	touch $@
