# Needs Python 3.11 or newer and make; everything else comes from the lock.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help demo test soak check bench format lock proto clean
help: ; @sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

# Stale when the lock or the project file changed since the last install.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fujie needs Python 3.11 or newer; set PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## set up and run the main job
	@$(BIN)/fujie demo

test: $(STAMP) ## set up and run all tests
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(STAMP) ## the crash tests that take minutes: 1,000 kills, a fault in every call
	@$(BIN)/python -m pytest -m soak $(ARGS)

check: $(STAMP) ## lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

bench: $(STAMP) ## measure, as ratios in one run
	@PYTHONPATH=tests $(BIN)/python -m bench.bench $(ARGS)

format: $(STAMP) ## apply the formatter and the safe fixes
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: ## resolve anew (needs uv)
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements.lock
	uv pip compile pyproject.toml --extra mysql --extra smpp --extra console --extra scim --extra xlsx --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements-runtime.lock
	uv pip compile requirements-codegen.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements-codegen.lock

# The generator is old on purpose and lives apart: generated code refuses runtimes older than itself.
.venv-codegen/.installed: requirements-codegen.lock
	@test -x .venv-codegen/bin/python || $(PYTHON) -m venv .venv-codegen
	@.venv-codegen/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-codegen.lock
	@touch $@

proto: .venv-codegen/.installed ## regenerate proxy/fujie/v1
	@.venv-codegen/bin/python -m grpc_tools.protoc -Iprotos --python_out=proxy --pyi_out=proxy --grpc_python_out=proxy protos/fujie/v1/*.proto

clean: ## remove what the targets made
	rm -rf .venv .venv-codegen .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
