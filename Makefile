# `make demo` runs the main job, `make test` the tests and `make test-slow` those that take long (million runs, PyTorch,
# classifiers); all build their own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-ci lint types wheel examples site images benchmark clean

demo: $(VENV)/.demo-installed
	$(BIN)/genbayes demo --out demo

test: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow"

test-slow: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m slow

# What CI runs in its 25 minutes: both in one go, which shares what is compiled, but for the longest.
test-ci: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not long"

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev-installed
	$(BIN)/pyright --pythonpath $(BIN)/python

# Builds the sdist and the wheel from it, checks what an index would show of them, installs the wheel where the source
# tree cannot be seen, and runs a small job with it.
wheel: $(VENV)/.dev-installed
	rm -rf dist $(VENV)/wheel-test
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m venv $(VENV)/wheel-test
	$(VENV)/wheel-test/bin/python -m pip install -q -c constraints.txt "$$(ls dist/*.whl)[plots,tasks]"
	cd $(VENV) && wheel-test/bin/python ../tests/wheel_check.py

examples: $(VENV)/.dev-installed
	for example in examples/*.py; do echo "== $$example"; $(BIN)/python "$$example" || exit 1; done
	rm -rf $(VENV)/river
	$(BIN)/genbayes --quiet run examples/river/problem.toml --simulations 1000 --resimulate 200 --seed 0 --out $(VENV)/river
	rm -rf $(VENV)/epidemic
	if $(BIN)/python -c "import roadrunner" 2>/dev/null; then $(BIN)/python examples/sbml/chain.py; fi
	$(CC) -O2 -o examples/epidemic/epidemic examples/epidemic/epidemic.c -lm
	$(BIN)/genbayes --quiet simulate examples/epidemic/problem.toml -n 1000 --workers 2 --out $(VENV)/epidemic

# The documentation as a site, site/html/index.html; runs every notebook and fails at the first warning.
site: $(VENV)/.site-installed
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d site/doctrees . site/html

# The pictures of docs/images, as far as they need no recordings: minutes. CI makes all of them small (make_images.py --quick,
# tests/documentation/test_images.py).
images: $(VENV)/.dev-installed
	$(BIN)/python docs/make_images.py

benchmark: $(VENV)/.dev-installed
	$(BIN)/python benchmarks/linear_gaussian.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.demo-installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[plots,tasks]"
	touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.demo-installed

$(VENV)/.site-installed: pyproject.toml constraints.txt | $(VENV)/.dev-installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev,docs]"
	touch $@

clean:
	rm -rf $(VENV) dist demo site .pytest_cache .ruff_cache
