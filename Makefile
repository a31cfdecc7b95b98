# Everything a newcomer and the CI need. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: help demo test fuzz check clean guest pyodide images lock bench bench-inference test-quota reference

help: ## list the targets
	@grep -hE '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv: .venv/installed ## the virtual environment with the locked dependencies

.venv/installed: requirements.lock pyproject.toml
	@echo "==> virtual environment (.venv), dependencies by hash"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock \
	  | sed -nu -E 's/^Collecting ([^ ]+).*/    \1/p; s/^Installing collected packages.*/    unpacking all of them/p'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

guest: .venv/installed ## compile the WASM guest, once; PACKAGES="a b==1" or PACKAGES_FILE=F [NAME= BASE= PRELOAD=] bakes an image of your own
	@$(BIN)/python -m runtime.sandbox.compile_guest
ifneq ($(strip $(PACKAGES) $(PACKAGES_FILE)),)
	@$(BIN)/python -m runtime.sandbox.baking --packages '$(PACKAGES)' $(if $(PACKAGES_FILE),--requirements '$(PACKAGES_FILE)') \
	  --name '$(NAME)' --preload '$(PRELOAD)' $(if $(BASE),--base '$(BASE)')
endif

pyodide: .venv/installed ## install what the guest image `pyodide` runs on (npm) into the user's cache; needs Node 20 or newer
	@$(BIN)/python -m runtime.sandbox.pyodide.install

demo: guest ## answer a question over the Python standard library's sources, here and now, without a cluster
	@$(BIN)/rlmctl demo -f config/samples/quickstart.yaml

test: guest ## everything that runs on this machine: unit, services with real WASM, operator on a real control plane
	@$(BIN)/python -m tests.controlplane.binaries
	@$(BIN)/python -m tests.controlplane.optional_crds
	@$(BIN)/pytest

FUZZ_SECONDS ?= 60

fuzz: .venv/installed ## search for bytes of a session process that the server does not survive (FUZZ_SECONDS)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.lock
	@$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

ATTACKS := $(addprefix tests/runtime/sandbox/test_,attacks.py scientific_attacks.py hostile_process.py hostile_service.py \
  isolation.py bounds.py refusals.py rollback.py failures.py)

test-quota: guest ## the attack tests with a quota of one CPU for the service and the tests together
	@$(BIN)/pytest -p tests.runtime.sandbox.cpu_quota $(ATTACKS)

check: .venv/installed ## format, lint, types, import contracts, samples
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@for sample in config/samples/*.yaml; do $(BIN)/rlmctl render -f "$$sample" >/dev/null && echo "renders: $$sample"; done

# docker only with a running engine behind it.
IMAGE_TOOL ?= $(shell docker info >/dev/null 2>&1 && echo docker || command -v buildah)
IMAGE_OPTIONS ?=

TARGETS ?= operator inference sandbox sandbox-scientific
TAG ?= $(VERSION)
BAKED = $(foreach name,PACKAGES PACKAGES_FILE NAME PRELOAD BASE,$(if $($(name)),--build-arg $(name)='$($(name))'))

images: ## build rlm-operator/TARGET for each of TARGETS, tagged TAG, with docker or buildah (IMAGE_TOOL, IMAGE_OPTIONS); PACKAGES as for guest
	@test -n '$(IMAGE_TOOL)' || { echo 'make images: neither docker nor buildah is here; install one (on Debian: apt-get install buildah)' >&2; exit 1; }
	@for target in $(TARGETS); do \
	  echo "==> rlm-operator/$$target:$(TAG)"; \
	  BUILDAH_FORMAT=docker $(IMAGE_TOOL) build --target $$target --build-arg VERSION=$(VERSION) $(BAKED) $(IMAGE_OPTIONS) -t rlm-operator/$$target:$(TAG) .; \
	done
	@for target in $(TARGETS); do \
	  echo "    rlm-operator/$$target:$(TAG)  $$($(IMAGE_TOOL) images --format '{{.Size}}' rlm-operator/$$target:$(TAG))"; \
	done

# pyeryx needs Python 3.12; with an older one it is left out, and the benchmark says so.
PEERS_PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 "$$HOME"/.pyenv/versions/3.1[234]*/bin/python3; do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo "$$python" && exit; done; echo $(PYTHON))

.peers/installed: benchmarks/peers/requirements.lock benchmarks/peers/node/package-lock.json
	@echo "==> peers of the benchmark (.peers), by hash, with $(PEERS_PYTHON)"
	@rm -rf .peers/venv .peers/node && $(PEERS_PYTHON) -m venv .peers/venv
	@.peers/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/peers/requirements.lock
	@if command -v npm >/dev/null; then cp -r benchmarks/peers/node .peers/node && cd .peers/node && npm ci --silent --no-audit --no-fund; \
	  else echo '    no npm: without Pyodide (install Node 20)'; fi
	@command -v bwrap >/dev/null || echo '    no bwrap: without bubblewrap (on Debian: apt-get install bubblewrap)'
	@touch $@

bench: guest .peers/installed ## the sandbox beside its peers, which are installed outside the project (BENCH_OPTIONS: --quick, --only …)
	@$(BIN)/python -m benchmarks.sandbox $(BENCH_OPTIONS)

.peers/recursive/installed: benchmarks/peers/recursive.lock
	@echo "==> other ways to run recursive language models (.peers/recursive), by hash"
	@rm -rf .peers/recursive && $(PYTHON) -m venv .peers/recursive
	@.peers/recursive/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/peers/recursive.lock
	@command -v docker bwrap >/dev/null || echo '    no docker or bwrap: without the Docker REPL of rlms (on Debian: apt-get install bubblewrap)'
	@touch $@

bench-inference: guest .peers/recursive/installed ## the inference service beside its peers (BENCH_OPTIONS: --quick, --only …)
	@$(BIN)/python -m benchmarks.inference $(BENCH_OPTIONS)

reference: .venv/installed ## write docs/api.md anew from the CRDs
	@$(BIN)/python -m tests.operator.reference

clean: ## remove what was made in this folder, the virtual environment included
	@rm -rf .venv .peers .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11

# atheris 3.1 has no wheel for Python 3.11.
lock: ## write requirements.lock, and from it those of the images, anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(UV_COMPILE) --extra operator --extra inference --extra sandbox --extra baking --extra cli --extra dev pyproject.toml -o requirements.lock
	@for extra in operator inference sandbox; do \
	  $(UV_COMPILE) --constraints requirements.lock --extra $$extra pyproject.toml -o requirements/$$extra.lock; \
	done
	@printf 'moto[s3]\nflask\nflask-cors\n' | $(UV_COMPILE) - -o requirements/s3-server.lock
	@printf 'pytest\npytest-asyncio\npytest-timeout\n' | $(UV_COMPILE) --extra rlms --extra dspy pyproject.toml - -o requirements/adapters.lock
	@printf 'hatchling\npackaging\n' | $(UV_COMPILE) --constraints requirements.lock - -o requirements/build.lock
	@echo 'atheris<3.1' | $(UV_COMPILE) - -o requirements/fuzz.lock
	@for peers in requirements recursive; do $(UV_COMPILE) benchmarks/peers/$$peers.in -o benchmarks/peers/$$peers.lock; done
