# The commands of the project. Each sets up what it needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
# an installed uv that works, else one of our own below .tools
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(CURDIR)/.tools/bin/uv)
export UV
# modules are compiled once, at installation: some machines forbid it later, and ctapipe and gammapy
# then take seconds more at every start
export UV_COMPILE_BYTECODE := 1
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

SNAKEMAKE := snakemake --workflow-profile profiles/local
DEMO_ANALYSIS := config/demo-analysis.yaml
DEMO_REPROCESSING := config/demo-reprocessing.yaml
PYTEST_JOBS ?= 2
BENCHMARKS := chain simulate plan lake dl3

.PHONY: help
help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

$(CURDIR)/.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/.synced: pyproject.toml uv.lock $(wildcard plugins/*/pyproject.toml) $(filter $(CURDIR)/%,$(UV))
	$(UV) sync --quiet --locked --all-packages --all-extras
	@touch $@

.PHONY: setup
setup: $(VENV)/.synced  ## install the locked environment into .venv

.PHONY: demo
demo: setup  ## IRF production from config/config.yaml on this machine
	$(SNAKEMAKE) irf

.PHONY: demo-analysis
demo-analysis: setup  ## spectrum and light curve from the DL3 of the reprocessing demo, which is made where absent
	cta-batch search 'data__level = DL3 and dl3__status = valid and proposal_id = P1' --json \
	  --config $(DEMO_ANALYSIS) | grep -q '"did"' || $(MAKE) demo-reprocessing
	$(SNAKEMAKE) analysis --configfile $(DEMO_ANALYSIS)

.PHONY: demo-reprocessing
demo-reprocessing: setup  ## simulated DL0 on tape of the embedded lake, to verified DL3 in the lake
	cta-batch observe --config $(DEMO_REPROCESSING) --output results/dl0
	cta-batch lake ingest results/dl0/*.h5 --rse TAPE --config $(DEMO_REPROCESSING)
	$(SNAKEMAKE) irf --configfile $(DEMO_REPROCESSING)
	$(SNAKEMAKE) reprocessing --configfile $(DEMO_REPROCESSING)
	cta-batch lake requests --config $(DEMO_REPROCESSING)
	cta-batch search 'data__level = DL3 and proposal_id = P1' --config $(DEMO_REPROCESSING)

.PHONY: closure
closure: setup  ## does the whole chain find the spectrum that was simulated? ten seeds
	python scripts/closure.py $(CLOSURE_OPTIONS)

.PHONY: chaos
chaos: setup  ## does the chain survive kills at random times? 20 rounds
	python scripts/chaos/chaos.py $(CHAOS_OPTIONS)

.PHONY: test
test: setup  ## all tests that this machine can run; REQUIRE=all turns each skip into a failure
	# by file, in the order of testpaths (long ones first): loadgroup of xdist 3.8 does nothing with
	# pytest 9.2
	pytest -n $(PYTEST_JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

.PHONY: test-quick
test-quick: setup  ## tests that need neither a server nor a long run
	pytest -n $(PYTEST_JOBS) --dist loadfile -m "not slow and not stack" tests/unit $(PYTEST_OPTIONS)

.PHONY: lint
lint: setup  ## style of Python and Snakemake files, and links of the documentation
	ruff check
	ruff format --check
	snakefmt --check workflow
	snakemake --lint
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

.PHONY: format
format: setup  ## bring Python and Snakemake files into style
	ruff check --fix
	ruff format
	snakefmt workflow

.PHONY: docs-generated
docs-generated: setup  ## regenerate the schema and the reference of the configuration
	cta-batch config schema --write

.PHONY: docs
docs: setup  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

.PHONY: physics
physics: setup  ## compare the open simulator with the published Prod5 IRF (needs CTA_TEST_DATA)
	python benchmarks/physics.py $(PHYSICS_OPTIONS)

.PHONY: benchmark
benchmark: setup  ## all benchmarks, one after the other
	for name in $(BENCHMARKS); do python benchmarks/$$name.py; done

.PHONY: audit
audit: setup  ## look the locked packages up among known vulnerabilities (needs PyPI)
	python scripts/audit.py

.PHONY: containers
containers: setup  ## build all container images: the pipeline's, and that of config/test/concordia.yaml
	python scripts/containers.py build
	python scripts/containers.py context
	cta-batch concordia build config/test/concordia.yaml

.PHONY: containers-lock
containers-lock: setup  ## bring the lock files of the images in line with uv.lock
	python scripts/containers.py lock

.PHONY: stack-install
stack-install: setup  ## Debian packages and server environments of the test stacks
	python scripts/stack/stack.py install $(PARTS)

.PHONY: stack-up
stack-up: setup  ## start the test stacks on loopback
	python scripts/stack/stack.py up $(PARTS)

.PHONY: stack-down
stack-down: setup  ## stop the test stacks
	python scripts/stack/stack.py down $(PARTS)

.PHONY: clean
clean:  ## remove results and caches, not the data lake
	rm -rf results .snakemake .pytest_cache .ruff_cache
