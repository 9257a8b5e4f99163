# The front door: the same words for a person and for CI.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# Windows names the folder otherwise.
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
DEMO := demo
READY := $(VENV)/.ready
TOOLS := $(VENV)/tools
DOCS_VENV := $(VENV)/docs
WHEEL_VENV := build/wheel-venv
BENCHMARKS := inference startup video serve prepare_rate training_input training_step train_throughput

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-page test-wheel page npm-package conformance docs demo-page dist check fix bench hashes sbom clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make .venv with every extra but docs, mlflow, ray and wandb, and the development tools, several GB

# torch and torchvision, whose builds differ from machine to machine, come last and without a hash.
$(READY): pyproject.toml constraints.txt hashes.txt
	@echo "Installing mien with every extra but docs, mlflow, ray and wandb, and the development tools, into $(VENV)."
	@echo "The versions are those of constraints.txt. torch is most of it: about 6.6 GB on disk with CUDA, less without."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes --requirement hashes.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-build-isolation --constraint constraints.txt --editable '.[all,dev]'
	@touch $(READY)

demo: setup ## draw faces, prepare, train, export, evaluate: the whole chain in a few minutes
	$(BIN)/mien demo $(DEMO) --force

test: setup ## run the docstrings' examples and the tests
	$(BIN)/python -m pytest --doctest-modules src/mien
	$(BIN)/python -m pytest --numprocesses 2

test-slow: setup ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

page: ## build the web page into src/mien/serve/static (needs Node 20 or newer)
	npm ci --prefix page --silent
	npm run build --prefix page --silent

test-page: ## check and test the web page (needs Node 20 or newer)
	npm ci --prefix page --silent
	npm run check --prefix page --silent
	npm test --prefix page --silent

npm-package: ## pack the page's pipeline as an npm package into build/ (needs Node 20 or newer)
	npm ci --prefix page --silent
	cd page && node build.mjs --package ../build/npm
	npm pack ./build/npm --pack-destination build --silent

conformance: setup ## build the conformance kit into build/, and check Python, Node and Chromium by it (needs Node)
	$(BIN)/python conformance/build.py --out build/mien-conformance.zip
	$(BIN)/python -m zipfile --extract build/mien-conformance.zip build
	$(BIN)/python conformance/run_python.py build/mien-conformance --out build/conformance-python.json
	$(BIN)/python build/mien-conformance/check.py build/conformance-python.json
	npm ci --prefix page --silent
	cd page && node build.mjs --tests && MIEN_KIT=../build/mien-conformance node --test .tests/package.test.mjs
# The wheel in an empty environment: the plain install must predict.
test-wheel: ## build the wheel, install it alone, and predict with it
	$(PYTHON) -m venv --clear $(WHEEL_VENV)
	rm -rf build/wheel build/lib
	$(WHEEL_VENV)/$(SCRIPTS)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(WHEEL_VENV)/$(SCRIPTS)/python -m pip install --quiet build/wheel/*.whl
	$(WHEEL_VENV)/$(SCRIPTS)/python -P -m mien doctor
	$(WHEEL_VENV)/$(SCRIPTS)/python -P -m mien predict page/public/example.jpg --draw build/wheel/drawn --out build/wheel/rows.csv
	$(WHEEL_VENV)/$(SCRIPTS)/python -P -m mien cite

docs: ## build the documentation site, English and Chinese, into build/site, and check its links
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/$(SCRIPTS)/python -m pip install --quiet '.[docs]'
	$(DOCS_VENV)/$(SCRIPTS)/python tools/site.py

demo-page: ## add the page that predicts in the browser to build/site
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/$(SCRIPTS)/python -m pip install --quiet .
	$(DOCS_VENV)/$(SCRIPTS)/python -P -m mien page build/site/page --force

dist: ## build wheel and source distribution of the last commit into dist/, and check them
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/$(SCRIPTS)/python -m pip install --quiet build==1.6.1 twine==7.0.0 check-wheel-contents==0.6.3
	$(TOOLS)/$(SCRIPTS)/python tools/dist.py

check: setup ## format, lint, types, layers, spelling, words, structure
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python tools/words.py
	$(BIN)/python tools/structure.py

fix: setup ## format and fix what a tool can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python tools/dataset_table.py

bench: setup ## run the benchmarks that need no data of yours
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

hashes: ## regenerate hashes.txt from constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet uv==0.13.9
	$(TOOLS)/bin/uv pip compile constraints.txt --no-deps --generate-hashes --no-annotate --custom-compile-command 'make hashes' \
		--no-emit-package torch --no-emit-package torchvision --output-file hashes.txt --quiet

sbom: setup ## write what is installed, and what the page is built from, as CycloneDX into build/
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet cyclonedx-bom==7.5.0
	mkdir -p build
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/mien.cdx.json $(BIN)/python
	if command -v npm > /dev/null; then cd page && npm sbom --package-lock-only --sbom-format cyclonedx > ../build/page.cdx.json; fi

clean: ## remove what make demo made
	rm -rf $(DEMO)
