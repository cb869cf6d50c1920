# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Both build .venv first, and again only when pyproject.toml or constraints.txt changed.

PYTHON ?= python3
# More options for pip, for example an index with a CPU build of torch.
PIP_FLAGS ?=
# More options for the demo and for pytest.
DEMO_FLAGS ?=
PYTEST_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $(PIP_FLAGS)
INPUTS := pyproject.toml constraints.txt
# A stamp is written last, so a set-up that was interrupted has none and starts from nothing.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOCS := $(VENV)/.ready-docs
# A process for each core, each with one thread: they do not wait for one another. The tests of a
# file share what they make.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
# Tracing every line takes a third more time, so coverage is for test-all.
COVERAGE := --cov --cov-report=term:skip-covered --cov-fail-under=85

.PHONY: help setup setup-dev demo test test-all bench bench-gpu lint format package docs address clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## Set up and run the demo, from meshes to the report
	$(BIN)/pointmcd demo $(DEMO_FLAGS)

test: lint package ## Set up, then lint, check types, build the package, run the fast tests
	$(PYTEST) $(PYTEST_FLAGS)

test-all: lint package ## The same with the slow tests, and coverage
	$(PYTEST) -m "slow or not slow" $(COVERAGE) $(PYTEST_FLAGS)

bench: $(READY_DEV) ## Measure speed beside the published formulation: benchmarks/speed/README.md
	$(BIN)/python -m benchmarks.speed

bench-gpu: $(READY_DEV) ## Measure steps, kernels and parity on a GPU: benchmarks/results/speed_gpu.md
	$(BIN)/python -m benchmarks.speed.gpu

lint: $(READY_DEV) ## Formatting, lint rules and strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY_DEV) ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

package: $(READY_DEV) ## Build sdist and wheel in a temporary folder and check the wheel
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && \
	$(BIN)/python -m build --outdir "$$out" . > "$$out/log" 2>&1 || { cat "$$out/log"; exit 1; }; \
	$(BIN)/python -m zipfile -l "$$out"/*.whl > "$$out/list" || exit 1; \
	for part in pointmcd/datasets/assets/furniture10.zip pointmcd/py.typed pointmcd/report/templates/ pointmcd/labelling/templates/page.js \
	            pointmcd/inference/templates/model_card.md.j2 pointmcd/training/assets/ \
	            licenses/LICENSE licenses/NOTICE; do \
	  grep -q "$$part" "$$out/list" || { echo "the wheel lacks $$part"; exit 1; }; \
	done; \
	ls "$$out" | grep pointmcd-

docs: $(READY_DOCS) ## Build the site in build/site; warnings and broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

address: ## Set the repository's address: make address ADDRESS=https://github.com/NAME/pointmcd
	@old=$$(sed -n 's/^Repository = "\(.*\)"$$/\1/p' pyproject.toml); \
	case "$(ADDRESS)" in https://*/pointmcd) ;; *) echo "give ADDRESS=https://.../pointmcd; it is $$old"; exit 1;; esac; \
	git grep -lF "$$old" | while read -r file; do \
	  sed "s|$$old|$(ADDRESS)|g" "$$file" > "$$file.new" && cat "$$file.new" > "$$file" && rm "$$file.new"; done

setup: $(READY) ## Only set up .venv
setup-dev: $(READY_DEV) ## Only set up .venv with the developers' tools

clean: ## Remove .venv and everything that these commands made
	rm -rf $(VENV) build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -exec rm -rf {} +

$(READY): $(INPUTS)
	$(start_venv)
	$(PIP_INSTALL) -e .
	@touch $@

$(READY_DEV): $(INPUTS)
	$(start_venv)
	$(PIP_INSTALL) -e '.[dev]'
	@touch $(READY) $@

$(READY_DOCS): $(READY)
	$(PIP_INSTALL) -e '.[docs]'
	@touch $@

# No stamp: nothing that is there can be trusted, so --clear. A stamp: pip updates in place.
define start_venv
	@command -v $(PYTHON) > /dev/null || { \
	  echo "$(PYTHON) was not found: install Python 3.10 to 3.14, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 14) or sys.exit("pointmcd needs Python 3.10 to 3.14, but $(PYTHON) is %d.%d: name another one, as in make PYTHON=python3.12" % v)'
	@if [ -e $(READY) ] || [ -e $(READY_DEV) ]; then rm -f $(READY) $(READY_DEV) $(READY_DOCS); \
	  else echo "Setting up $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear $(VENV); fi
endef
