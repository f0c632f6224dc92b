# `make demo` and `make test` set up what they need; nothing has to be installed first but Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# how many processes run the tests, a core and some GiB of memory each: make test JOBS=4
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test campaigns lint docs figures notebook page clients install clean

# pets drawn by the package, our compact SegNet, a few minutes on two CPU cores
demo: $(VENV)/installed
	$(BIN)/segnet train --data synthetic --model segnet-lite --recipe modern \
		--epochs 20 --crop-scale 1 --no-progressive

test: $(VENV)/installed web/node_modules
	$(PYTEST) -m "not campaign"

# what `make test` leaves out: one behaviour over many models, formats, commands or interruptions
campaigns: $(VENV)/installed
	$(PYTEST) -m campaign

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the pages of docs/ as a site that opens offline: site/index.html
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# the pictures of the docs, by the commands in docs/figures.toml
figures: $(VENV)/installed
	$(BIN)/python docs/figures.py $(PICTURES) $(if $(DATA_ROOT),--data-root '$(DATA_ROOT)')

# the page that `segnet export --to html` fills, and the engine for Node, from web/
page: web/node_modules
	cd web && npm run --silent build

# Node's packages for web/; without Node its tests are left out, and pytest says so
web/node_modules: web/package-lock.json
	@if command -v npm > /dev/null; then cd web && npm ci --silent --no-audit --no-fund && touch node_modules; \
	else echo "npm isn't here: the tests of web/ are left out"; fi

# other programs that open what segnet writes, each in an environment of its own, for tests; without one of
# them pytest says what it left out
clients: .clients/opencv-4 .clients/opencv-5 .clients/mediapipe

.clients/opencv-4: PACKAGE = opencv-python-headless==4.14.0.94
.clients/opencv-5: PACKAGE = opencv-contrib-python==5.1.0.95
.clients/mediapipe: PACKAGE = mediapipe==1.2.3
.clients/%:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet $(PACKAGE) || { rm -rf $@; exit 1; }

# notebooks/segnet_pets.ipynb from its source, notebooks/segnet_pets.py; what the cells gave is not kept
notebook: $(VENV)/installed
	$(BIN)/python -m jupytext --quiet --update --to ipynb notebooks/segnet_pets.py

install: $(VENV)/installed

# constraints.txt holds the versions we test with. On Linux, PyPI's torch brings gigabytes of CUDA packages; the
# CPU build comes with: make demo PIP_OPTIONS='--extra-index-url https://download.pytorch.org/whl/cpu'
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .clients build dist site web/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
