# The project's verbs. Each one sets up everything it needs in .venv first; `make help` lists them.
#
#   PYTHON=python3.12 make test     another interpreter (3.11 or newer); .venv is made anew when it changes
#   GLASSGRAD_COMPILE=off make test without the extension; see setup.py
#   make test ARGS='-k softmax'     arguments for pytest
#   make test PEERS=0               without PyTorch and JAX, large downloads: what is compared with them is skipped

.DEFAULT_GOAL := help
.NOTPARALLEL: # one pip at a time
PYTHON ?= python3
ARGS ?=
PEERS ?= 1

# Prints: version, key, interpreter. The key names a set-up, so that another interpreter, a C compiler that came or
# went, another GLASSGRAD_COMPILE, or a checkout that was moved each get a fresh .venv instead of a wrong one.
PROBE := import os, shlex, shutil, sys, sysconfig, zlib; \
  base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable); \
  cc = shutil.which(shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]); \
  parts = [sys.version, base, cc, os.environ.get("GLASSGRAD_COMPILE"), os.getcwd()]; \
  print("%d.%d" % sys.version_info[:2], "%08x" % (zlib.crc32(repr(parts).encode()) & 0xffffffff), base)
FOUND := $(shell $(PYTHON) -c '$(PROBE)' 2>/dev/null)
VERSION := $(word 1,$(FOUND))
KEY := $(word 2,$(FOUND))
BASE := $(wordlist 3,99,$(FOUND))

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check
LOG := $(VENV)/build.log
COMPILED := $(wildcard src/glassgrad/*.pxd src/glassgrad/*/*.pxd src/glassgrad/*/*.pyx src/glassgrad/*/*.h)
SOURCES := pyproject.toml setup.py src/glassgrad/_build.py $(COMPILED) $(wildcard $(COMPILED:.pxd=.py))

# Stamps, each written after all of its work is done, so that an interrupted set-up is simply done again.
ENVIRONMENT := $(VENV)/.environment-$(KEY)
PACKAGE := $(VENV)/.package-$(KEY)
GROUP := $(VENV)/.group-$(KEY)-

.PHONY: help setup demo test lint types bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(PACKAGE) $(GROUP)test $(GROUP)lint $(GROUP)types ## .venv with the package (editable) and all tools but the benchmarks' peers

demo: $(PACKAGE) ## train a real classifier and leave pictures behind
	@$(VENV)/bin/glassgrad demo $(ARGS)

test: $(PACKAGE) $(GROUP)test $(if $(filter 0,$(PEERS)),,$(GROUP)peers) ## the whole test suite, on the compiled and on the interpreted build
	@$(RUN) -m pytest -q $(ARGS)

lint: $(GROUP)lint ## ruff: rules and formatting
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(PACKAGE) $(GROUP)types ## mypy --strict on src, and on what a user's program sees of it
	@$(RUN) -m mypy --strict src tests/test_typing.py

bench: $(PACKAGE) $(GROUP)bench ## measure against micrograd, autograd, JAX, PyTorch and CasADi (downloads them)
	@$(RUN) bench/run.py $(ARGS)

clean: ## remove .venv and everything built
	rm -rf $(VENV) build dist wheelhouse src/*.egg-info src/glassgrad/*.so src/glassgrad/*/*.so
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT):
	@if [ -z "$(VERSION)" ]; then \
	  echo "glassgrad: '$(PYTHON)' is not a Python 3 that runs; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 ..." >&2; exit 1; fi
	@case "$(VERSION)" in 2.*|3.[0-9]|3.10) \
	  echo "glassgrad: '$(PYTHON)' is Python $(VERSION), and 3.11 is the oldest that works; name a newer one: make PYTHON=python3.12 ..." >&2; exit 1;; esac
	@echo "==> Python $(VERSION) ($(BASE)): making $(VENV)"
	@rm -rf $(VENV)
	@"$(BASE)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "glassgrad: '$(BASE) -m venv' failed, see above; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PIP) install -q --upgrade 'pip>=25.1'
	@touch $@

$(PACKAGE): $(ENVIRONMENT) $(SOURCES)
	@echo "==> building glassgrad (half a minute to a minute where there is a C compiler)"
	@$(PIP) install -v --no-deps -e . >$(LOG) 2>&1 || { cat $(LOG); echo "glassgrad: the build failed, see above" >&2; exit 1; }
	@sed -n 's/^ *\(glassgrad: .*\)/    \1/p' $(LOG)
	@echo "==> installing what it needs to run and to plot (the first time about a minute)"
	@$(PIP) install -q 'glassgrad[demo]'
	@$(RUN) -c "import glassgrad; print('    glassgrad', glassgrad.__version__, 'compiled' if glassgrad.COMPILED else 'interpreted')"
	@touch $@

$(GROUP)%: $(ENVIRONMENT) pyproject.toml
	@echo "==> installing the tools of the group '$*'"
	@$(PIP) install -q --group $*
	@touch $@
