# Every target sets up what it needs. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
PORT ?= 8000
# Further words for Snakemake: SMK=--dry-run, SMK="--config profile=smoke".
SMK ?=
# Where the jobs run, if not on this machine's cores: PROFILE_DIR=profiles/slurm.
PROFILE_DIR ?=

READY := .venv/.ready
READY_DETECTION := .venv-detection/.ready
BUILD := book/_build
# A paper's page is its story and its evidence: 02_loss_rescaling.ipynb, 02_1_loss_rescaling_tables.ipynb.
PAGE = $(if $(filter $(P),$(PAPERS)),$(patsubst notebooks/%,$(BUILD)/pages/%,\
	$(wildcard notebooks/*_$(P).ipynb notebooks/*_$(P)_*.ipynb)))
DATA_SETS = $(shell sed -n 's/^\[\([a-z0-9_]*\)\]$$/\1/p' vqabook/fetch/manifest.toml)
PAPERS = $(shell ls notebooks | sed -n 's/^[0-9]*_\([a-z].*\)\.ipynb$$/\1/p')
TRAINED = $(filter-out data ten_lines,$(PAPERS))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# One thread a process: the graph starts as many processes as it has cores.
export OMP_NUM_THREADS ?= 1
# Some hundred processes import the package: each would compile it anew.
export PYTHONDONTWRITEBYTECODE :=

# A recipe line that starts with $(alone) waits until no other make of this folder is in one. Where flock is missing
# (macOS), Snakemake's own lock refuses a second run instead.
HAS_FLOCK := $(shell command -v flock)
alone = $(if $(HAS_FLOCK),exec 9>.make.lock; flock --nonblock 9 || { \
	echo "Another make is at work in this folder: waiting for it to end." >&2; flock 9; };)
snakemake = snakemake $(1) $(if $(HAS_FLOCK),--nolock) --rerun-incomplete --quiet host progress \
	$(if $(PROFILE_DIR),--profile $(PROFILE_DIR),--cores $(CORES)) $(SMK)

.PHONY: help book records test test-detection paper data bench notebooks lint types serve clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

book: $(READY) ## train what is missing, execute the notebooks, build the book
	@$(alone) $(call snakemake,book)
	@echo "The book: $(CURDIR)/$(BUILD)/html/index.html"

paper: $(READY) ## run and execute one paper's page: make paper P=loss_rescaling
	@if [ -z "$(PAGE)" ]; then \
		echo "P must name a paper that has a notebook, got '$(P)'; choose one of:" $(PAPERS) >&2; exit 2; fi
	@$(alone) $(call snakemake,$(PAGE))
	@echo "Executed:" $(addprefix $(CURDIR)/,$(PAGE))

records: $(READY) ## make one page's records, on a cluster in jobs of minutes: make records P=mcl_kd PROFILE_DIR=profiles/slurm
	@if [ -z "$(filter $(P),$(TRAINED))" ]; then \
		echo "P must name a page that has records, got '$(P)'; choose one of:" $(TRAINED) >&2; exit 2; fi
	@$(alone) $(call snakemake,records_$(P))

data: $(READY) ## fetch data sets, verified: make data D=cifar10
	@for name in $(or $(D),-); do if [[ " $(DATA_SETS) " != *" $$name "* ]]; then \
		echo "D must name data sets, got '$(D)'; choose among:" $(DATA_SETS) >&2; exit 2; fi; done
	@vqabook data fetch $(D)

test: lint ## lint, then every test: types, notebooks and the rendered book included
	@pytest -n 2 --dist loadscope --no-loadscope-reorder

test-detection: $(READY_DETECTION) ## the tests of the detector, in an environment with torchvision (5 GB, once)
	@.venv-detection/bin/python -m pytest tests/detection tests/test_readme.py

notebooks: $(READY) ## store the notebook outputs that the tests compare (after a change to a notebook)
	@vqabook freeze notebooks/*.ipynb

lint: $(READY) ## check the style
	@ruff check .

types: $(READY) ## check the types
	@mypy

bench: $(READY) ## time the library against the usual way of doing it
	@for benchmark in benchmarks/*.py; do python "$$benchmark"; done

serve: $(READY) ## show the built book at http://localhost:8000 (PORT=8000)
	@if [ ! -e $(BUILD)/html/index.html ]; then echo "There is no book yet: run 'make book' first." >&2; exit 2; fi
	@python -m http.server --bind 127.0.0.1 --directory $(BUILD)/html $(PORT)

clean: ## remove the built book and the executed notebooks; records and data stay
	@rm -rf $(BUILD)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "vqabook needs Python 3.11 or newer, '$(PYTHON)' is not; name another: make PYTHON=python3.12" >&2; exit 2; }
	@$(alone) if [[ $@ -nt requirements.lock && $@ -nt pyproject.toml ]]; then exit 0; fi; \
		echo "Installing requirements.lock into .venv (2.5 GB, once; some minutes)."; \
		$(PYTHON) -m venv .venv; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
		touch $@

# torchvision's wheels need the CUDA build of torch, of the release that they were made for; it runs on a CPU, too.
$(READY_DETECTION): requirements.lock requirements-detection.txt pyproject.toml
	@echo "Installing requirements-detection.txt into .venv-detection (5 GB, once; some minutes)."; \
		$(PYTHON) -m venv .venv-detection; \
		grep -vE '^(torch|setuptools)==' requirements.lock > .venv-detection/others.txt; \
		.venv-detection/bin/python -m pip install --quiet --disable-pip-version-check \
			-r .venv-detection/others.txt -r requirements-detection.txt; \
		.venv-detection/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; \
		touch $@
