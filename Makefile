# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# make rescue and make pyz need make and python3; the rest python3 3.10 or newer with venv, and puts everything else into .venv/ here.
PYTHON ?= python3
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help rescue test lint units sanity integration kernel engines machines delivery soak bench format changelog reference pyz release clean

help:
	@echo 'make rescue   bring the data of this host'"'"'s Docker into ./rescued/ (or of a sample, if it has none); needs Python only'
	@echo 'make test     lint, units, sanity, integration, engine tests; parts: make units, sanity, integration, kernel, engines, delivery'
	@echo 'make machines virtual machines whose power is cut (QEMU; not a part of make test)'
	@echo 'make lint     ansible-lint, yamllint, ruff, mypy, antsibull, galaxy-importer, links and reference of the docs'
	@echo 'make format   mend layout and the order of imports'
	@echo 'make soak     the tests with random contents, again and again (LIFEBOAT_SOAK=20 times), and their figures'
	@echo 'make bench    measure speed and memory (BENCH="some rows")'
	@echo 'make changelog  CHANGELOG.md from changelogs/fragments, for the version in galaxy.yml'
	@echo 'make reference  docs/reference/ from the documentation of modules, filters and roles'
	@echo 'make pyz      dist/lifeboat.pyz, the tool as one file'
	@echo 'make release  dist/lifeboat-docker-VERSION.tar.gz, lifeboat.pyz and a wheel, reproducible, with checksums; signed with RELEASE_KEY=KEY'
	@echo 'make clean    remove what the above made, except ./rescued/'

rescue:
	@$(PYTHON) tools/rescue.py $(if $(HOST_ROOT),--host-root '$(HOST_ROOT)') $(if $(DATA_ROOT),--data-root '$(DATA_ROOT)') \
		$(if $(DEST),--dest '$(DEST)') $(if $(SAMPLE),--sample)

test:
	@$(PYTHON) tools/check.py lint units sanity integration kernel engines delivery

lint units sanity integration kernel engines machines delivery:
	@$(PYTHON) tools/check.py $@

soak:
	@LIFEBOAT_SOAK="$${LIFEBOAT_SOAK:-20}" $(PYTHON) tools/check.py soak

format:
	@$(PYTHON) tools/linting.py --fix

bench:
	@$(PYTHON) tests/benchmark/bench.py $(BENCH)

reference:
	@$(PYTHON) tools/reference.py

changelog:
	@$(PYTHON) tools/changelog.py

pyz:
	@$(PYTHON) tools/pyz.py

release:
	@RELEASE_KEY='$(RELEASE_KEY)' $(PYTHON) tools/release.py

clean:
	rm -rf .venv .venv-root .ansible dist importer_result.json lifeboat-reports tests/output
	find . -name __pycache__ -prune -exec rm -rf {} +
