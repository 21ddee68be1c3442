# Every target works from any directory name, spaces included: all paths here are relative.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
# Checked only when the environment is made; override with: make venv PYTHON=/path/to/python3.12
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && exit; \
	done; echo python3)

.PHONY: help venv venv-dev run test faults mutants images advisories lock lint types check format audit bench bench-quick bench-term locust locust-ui secrets screenshots drill clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/.runtime-installed ## Make .venv with what the system needs to run

venv-dev: $(VENV)/.dev-installed ## Add what the checks need

run: $(VENV)/.runtime-installed ## Start everything on this machine; Ctrl-C stops it
	@$(PY) -m scripts.stack

test: $(VENV)/.dev-installed ## Run all tests, on servers of their own
	$(PY) -m pytest --numprocesses 2 --dist loadfile

faults: $(VENV)/.dev-installed ## Inject faults under load and check every promise; RUNS=300 SEED=1 ONLY=F1,F6-reset REQUIRE_ALL=1
	$(PY) -m tests.faults.run --runs $(or $(RUNS),60) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(REQUIRE_ALL),--require-all)

mutants: $(VENV)/.dev-installed ## Plant known bugs one by one and see that the tests find each
	$(PY) -m tests.mutants

# For example: make images OPTIONS="--builder buildah --build-argument=--isolation=chroot"
images: $(VENV)/.runtime-installed ## Build the container images and check what is in them and how they run; OPTIONS=--help
	@$(PY) -m scripts.images $(OPTIONS)

advisories: $(VENV)/.dev-installed ## Look for known advisories against constraints.txt; needs network
	@$(PY) -m scripts.advisories

# One file for every Python from 3.11 on, with markers where they differ. What is in it stays unless it must change.
lock: $(VENV)/.dev-installed ## Resolve every package below the requirements into constraints.txt; UPGRADE=1 for the newest
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 $(if $(UPGRADE),--upgrade) \
		--no-annotate --custom-compile-command "make lock" --output-file constraints.txt requirements-dev.txt

lint: $(VENV)/.dev-installed ## Check style, formatting, that every test can be collected, and the safety of migrations
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@collected=$$($(PY) -m pytest --collect-only -qq) || { echo "$$collected"; exit 1; }
	@$(PY) -m alembic upgrade head --sql >.squawk.sql && $(VENV)/bin/squawk .squawk.sql; \
		status=$$?; rm -f .squawk.sql; exit $$status

types: $(VENV)/.dev-installed ## Check the types
	$(PY) -m mypy

check: lint types test ## Everything that CI runs

format: $(VENV)/.dev-installed ## Format the code and fix what can be fixed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

audit: $(VENV)/.runtime-installed ## Replay the ledger against the rosters: of DATABASE_URL, or of the running stack
	@if [ -z "$$DATABASE_URL" ] && [ -f .local/stack.env ]; then set -a; . ./.local/stack.env; fi; \
		exec $(PY) -m shared.audit

bench: $(VENV)/.dev-installed ## Measure this system and its peers side by side; about 20 minutes
	$(PY) -m bench --pictures docs/img

bench-quick: $(VENV)/.dev-installed ## One short round of the same, in a minute
	$(PY) -m bench --quick

secrets: ## Make the passwords that docker-compose.yml needs, once, in ./secrets
	@"$(PYTHON)" scripts/make_secrets.py

screenshots: $(VENV)/.dev-installed ## Take the pictures of docs/img anew; needs Chromium and its driver
	SCREENSHOTS=docs/img $(PY) -m pytest tests/e2e/test_dashboard_in_browser.py
	$(PY) -m scripts.drill --pictures docs/img

drill: $(VENV)/.runtime-installed ## Break a throw-away system on purpose and check what every signal says
	@$(PY) -m scripts.drill

bench-term: $(VENV)/.dev-installed ## Run the registration of a large university's whole term; some minutes
	$(PY) -m bench.term

# Of a load test; for example: make locust USERS=500 RUN_TIME=5m TAGS=rush
USERS ?= 200
RUN_TIME ?= 60s
TAGS ?=
LOCUST = LOCUST_STUDENTS=LOAD%06d LOCUST_STUDENT_COUNT=5000 LOCUST_PASSWORD=load-test \
	LOCUST_TOKENS=.local/load-tokens.csv LOCUST_HOST=http://127.0.0.1:$${API_PORT:-8500} \
	$(PY) -m locust -f locust/locustfile.py --users $(USERS) --spawn-rate $(USERS) --run-time $(RUN_TIME) \
	--stop-timeout 30 $(if $(TAGS),--tags $(TAGS))
# New courses for every run, or all of them would be full already.
LOAD_TEST = [ -f .local/stack.env ] || { echo "Start the system first, in another terminal: make run" >&2; exit 1; }; \
	set -a; . ./.local/stack.env; set +a; semester="Load test $$(date +%F\ %T)"; \
	$(PY) -m scripts.make_courses --semester "$$semester" && \
	$(PY) -m scripts.make_students --count 5000 --tokens .local/load-tokens.csv && \
	LOCUST_SEMESTER="$$semester" $(LOCUST)

locust: $(VENV)/.runtime-installed ## Load the running stack with Locust; the report is reports/locust.html
	@$(LOAD_TEST) --headless --only-summary --html reports/locust.html

locust-ui: $(VENV)/.runtime-installed ## The same from Locust's page on http://localhost:8585
	@$(LOAD_TEST) --web-host 127.0.0.1 --web-port 8585 --class-picker

clean: ## Remove .venv, caches and reports; the data in .local stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis reports htmlcov .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, but $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." >&2; \
		echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		version=$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$(PYTHON) cannot make virtual environments." >&2; \
		echo "On Debian or Ubuntu: sudo apt install python$$version-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	@# Puts the project first on sys.path, wherever it is moved to: .venv lies in its root.
	@$(PY) -c 'import pathlib, sysconfig; \
		pathlib.Path(sysconfig.get_path("purelib"), "project_root.pth").write_text( \
		"import os, sys; sys.path.insert(0, os.path.dirname(sys.prefix))\n")'
	@touch $@

$(VENV)/.runtime-installed: requirements.txt constraints.txt $(VENV)/.created
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/.dev-installed: requirements-dev.txt $(VENV)/.runtime-installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@
