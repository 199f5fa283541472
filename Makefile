# Two commands matter, `make prove` and `make test`; both start from a bare clone and may be repeated.
# What was set up once is kept in .venv and .tox, and is set up again only if pyproject.toml changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REPORTS := reports
CHECK := sample_projects
# Our own modules that import the extra `dask`; flags and no table, which would hold for sample projects too.
EXTRAS := pytest_manylinux.cluster.hosting pytest_manylinux.cluster.worker pytest_manylinux.cluster.byte_transfer \
  pytest_manylinux.preload

.DEFAULT_GOAL := help
.PHONY: help prove self test lint audit lock docs release-check bench develop system engines clean

help: ## Say what can be made
	@echo "make TARGET, where TARGET is"
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 17
	@echo
	@echo "Variables: PYTHON (the Python for $(VENV); now $(PYTHON)), CHECK (what is proven; now $(CHECK))"

prove: system $(BIN)/.package ## Build the sample projects and prove their wheels on several distros
	@rm -rf $(REPORTS)/wheelhouse  # the last run's: a wheel is never overwritten with other bytes
	@mkdir -p $(REPORTS)
	@status=0; \
	PYTHONUNBUFFERED=1 $(BIN)/python -m pytest --manylinux $(CHECK) --manylinux-wheelhouse=$(REPORTS)/wheelhouse \
	  --manylinux-proof=$(REPORTS)/proof.json --manylinux-html=$(REPORTS)/report.html \
	  --junitxml=$(REPORTS)/junit.xml || status=$$?; \
	echo; \
	echo "wheels   $(CURDIR)/$(REPORTS)/wheelhouse"; \
	echo "page     $(CURDIR)/$(REPORTS)/report.html"; \
	echo "JUnit    $(CURDIR)/$(REPORTS)/junit.xml"; \
	echo "proof    $(CURDIR)/$(REPORTS)/proof.json"; \
	exit $$status

self: system $(BIN)/.package ## Build this project itself, and prove its wheel
	@rm -rf $(REPORTS)/self
	PYTHONUNBUFFERED=1 $(BIN)/python -m pytest --manylinux --manylinux-import-skip="$(EXTRAS)" \
	  --manylinux-wheelhouse=$(REPORTS)/self --manylinux-proof=$(REPORTS)/self/proof.json

test: system engines $(BIN)/.tox ## Check the style and types, and run the whole test suite, through tox
	@$(BIN)/python tools/lock.py check
	$(BIN)/tox run

lint: $(BIN)/.tox ## Only check the style and types
	@$(BIN)/python tools/lock.py check
	$(BIN)/tox run -e lint

audit: $(BIN)/.tox ## Compare what the lock pins with the known vulnerabilities
	@$(BIN)/python tools/lock.py check
	$(BIN)/tox run -e audit

lock: $(BIN)/.venv ## Write the lock of what CI installs anew (all of it with UPGRADE=1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8" packaging
	$(BIN)/python tools/lock.py make $(if $(UPGRADE),--upgrade)

docs: $(BIN)/.tox ## Build the site of the documentation; a broken link is an error
	@$(BIN)/python tools/lock.py check
	$(BIN)/tox run -e docs
	@echo "site     $(CURDIR)/$(REPORTS)/site/index.html"

release-check: $(BIN)/.package ## Whether the catalogue is of today: run it before a release, besides the tests
	@$(BIN)/python tools/release_check.py

bench: system engines $(BIN)/.develop ## Measure all that has a figure: most of an hour, on a machine that does nothing else
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "cibuildwheel>=3" "matplotlib>=3.9"
	$(BIN)/python benchmarks $(PARTS)

develop: system $(BIN)/.develop ## Set up .venv for working on the project itself
	@echo "Ready: $(BIN)/pytest tests/unit"

clean: ## Remove what the other targets made here (not the cache: see pytest-manylinux cache)
	rm -rf $(VENV) .tox $(REPORTS)

# The system programs. As root nothing else is needed; a user's namespaces take uidmap as well.
system:
	@missing=""; \
	command -v bwrap >/dev/null || missing="$$missing bubblewrap"; \
	command -v mmdebstrap >/dev/null || missing="$$missing mmdebstrap"; \
	command -v skopeo >/dev/null || missing="$$missing skopeo"; \
	command -v bsdtar >/dev/null || missing="$$missing libarchive-tools"; \
	[ "$$(id -u)" = 0 ] || command -v newuidmap >/dev/null || missing="$$missing uidmap"; \
	$(install_missing)

# What the tests want besides: compilers, real container engines, a registry, a browser, the dates of Debian.
engines:
	@missing=""; \
	command -v cc >/dev/null || missing="$$missing gcc"; \
	command -v c++ >/dev/null || missing="$$missing g++"; \
	command -v dockerd >/dev/null || missing="$$missing docker.io"; \
	command -v containerd >/dev/null || missing="$$missing containerd"; \
	command -v podman >/dev/null || missing="$$missing podman"; \
	command -v runc >/dev/null || missing="$$missing runc"; \
	command -v docker-registry >/dev/null || missing="$$missing docker-registry"; \
	command -v qemu-aarch64-static >/dev/null || missing="$$missing qemu-user-static"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	[ -e /usr/share/distro-info/debian.csv ] || missing="$$missing distro-info-data"; \
	$(install_missing)

# Debian keeps the venv module in a package of its own, python3-venv.
$(BIN)/.venv:
	@command -v $(PYTHON) >/dev/null && missing="" || missing="python3 python3-venv"; \
	[ -n "$$missing" ] || $(PYTHON) -c "import ensurepip, venv" 2>/dev/null || missing="python3-venv"; \
	$(install_missing)
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || \
	  { echo "$(PYTHON) is older than 3.10: name a newer one with make PYTHON=…" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(BIN)/.package: pyproject.toml $(BIN)/.venv
	@echo "Installing pytest-manylinux into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable .
	@touch $@

$(BIN)/.tox: .ci/lock/tox.txt $(BIN)/.venv
	@echo "Installing tox into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/lock/tox.txt
	@touch $@

# Dependency groups want a pip newer than most distros' own.
$(BIN)/.develop: $(BIN)/.package $(BIN)/.tox
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test --group lint
	@touch $@

# apt does not wait for whoever updates its lists, another clone's run say; for dpkg it does, if told to.
define install_missing
if [ -n "$$missing" ]; then \
  command -v apt-get >/dev/null || { \
    echo "Missing on this machine, which has no apt to install them with:$$missing" >&2; exit 1; }; \
  as_root=""; \
  [ "$$(id -u)" = 0 ] || as_root="sudo"; \
  [ -z "$$as_root" ] || command -v sudo >/dev/null || { \
    echo "Missing on this machine; let root install them: apt-get install$$missing" >&2; exit 1; }; \
  echo "Missing on this machine, now installed with $$as_root apt-get:$$missing"; \
  for try in $$(seq 12); do $$as_root apt-get update -qq </dev/null && break; sleep 10; done; \
  $$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq --yes -o DPkg::Lock::Timeout=600 $$missing </dev/null >/dev/null; \
fi
endef
