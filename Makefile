# Everything runs from the virtual environment .venv/ in this checkout; nothing is installed system-wide.
# `make help` lists the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The demo models as a Triton repository, made anew when a model, a stage or the exporter has changed.
REPOSITORY := build/repository
MANIFEST := $(REPOSITORY)/toonface.json
EXPORT_SOURCES := $(wildcard models/*.yaml models/*/inference.*) \
	$(shell find contract ensemble gallery export model_repository -name '*.py')

PERF_ANALYZER := build/perf_analyzer/perf_analyzer

PACKAGES := $(foreach init,$(wildcard */toonface_*/__init__.py),-p $(notdir $(patsubst %/,%,$(dir $(init)))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo export test test-slow lint mypy format demo-pictures perf-analyzer constraints clean distclean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## Set up: .venv/ with everything, pinned by constraints.txt

$(INSTALLED): pyproject.toml constraints.txt scripts/set_up.py
	@command -v $(PYTHON) >/dev/null || { \
		echo "make: $(PYTHON) is not here. Install Python 3.11 (apt install python3.11)," \
		     "or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) scripts/set_up.py --venv $(VENV) --constraints constraints.txt
	@touch $@

demo: $(MANIFEST) ## Set up, export the demo models, serve them, recognise the demo pictures and check every answer
	@$(BIN)/python demo/run_demo.py --repository $(REPOSITORY)

export: $(MANIFEST) ## Export the demo models to build/repository

$(MANIFEST): $(INSTALLED) $(EXPORT_SOURCES)
	$(BIN)/toonface export models/face_recognition.yaml --output $(REPOSITORY)

test: lint ## Set up, lint, and run all tests but the slow ones (ARGS="-k name" to choose)
	$(BIN)/pytest $(ARGS)

test-slow: $(INSTALLED) $(PERF_ANALYZER) ## Run the tests that take minutes each, which `make test` leaves out
	$(BIN)/pytest -m slow $(ARGS)

lint: $(INSTALLED) mypy ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: $(INSTALLED)
	$(BIN)/mypy $(PACKAGES)
	MYPYPATH=demo:scripts $(BIN)/mypy demo/*.py scripts/*.py

format: $(INSTALLED) ## Format the code and apply ruff's safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo-pictures: $(INSTALLED) ## Draw the demo's gallery and pictures anew, from their seed
	$(BIN)/python -m toonface_training.demo --output demo

perf-analyzer: $(PERF_ANALYZER) ## Bring NVIDIA's perf_analyzer into build/perf_analyzer, for `toonface bench sweep`

$(PERF_ANALYZER): scripts/bring_perf_analyzer.py | $(INSTALLED)
	@$(BIN)/python $< $(@D)

constraints: ## Resolve all dependencies afresh and rewrite constraints.txt
	$(PYTHON) scripts/set_up.py --venv build/constraints
	( echo "# The versions that toonface is tested with. Made by \`make constraints\`."; \
	  build/constraints/bin/python -m pip freeze --all --exclude-editable ) > constraints.txt

clean: ## Remove what was built and cached; keep .venv/
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv/ as well
	rm -rf $(VENV)
