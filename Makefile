# SPDX-License-Identifier: Apache-2.0
# `make demo` shows what sixlane does, `make test` proves it; `make help` tells the rest.

PYTHON ?= python3
PREFIX ?= /usr/local
BIN := .venv/bin
export PYTHON
unexport PYTHONDONTWRITEBYTECODE # hundreds of commands and agents start in the tests

C_FILES := $(wildcard bpf/*.c bpf/sixlane/*.h bench/*.c bench/*.h tests/*/*.c)
TESTS := test-programs test-networks-a-c test-references test-networks-h-n test-other-kernels test-networks-o-r \
	test-networks-d-g test-networks-s-z

.PHONY: help demo test $(TESTS) test-sweeps test-vm test-kills mutants fuzz bench bench-sessions bench-live bench-packet bench-services bench-apply bench-forward bench-requests bench-pods bench-pods-vm check generate format bpf deps venv install uninstall clean

help: ## What there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: deps venv bpf ## The lab in network namespaces, step by step; KEEP=1 leaves it up, ATTACH=xdp|tc, VM=1: its pods by netkit
ifdef VM
	packaging/install-deps vm
	@$(BIN)/python -m tests.vm demo
else
	$(BIN)/python -m sixlane.lab demo $(if $(KEEP),--keep) $(if $(ATTACH),--attach $(ATTACH))
endif

test: deps venv bpf check ## The checks and every test that this machine can run; ARGS go to pytest
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	packaging/install-deps vm
	$(MAKE) --no-print-directory --jobs=4 --keep-going $(TESTS)
endif

# Four at once: some compute, some wait. Each has its mounts and its directory to itself.
test-programs := tests/prog
test-references := tests/unit tests/diff
test-networks-a-c := tests/netns/test_[a-c]*.py
test-networks-d-g := tests/netns/test_[d-g]*.py
test-networks-h-n := tests/netns/test_[h-n]*.py
test-networks-o-r := tests/netns/test_[o-r]*.py
test-networks-s-z := tests/netns/test_[s-z]*.py
$(filter-out test-other-kernels,$(TESTS)):
	@unset MAKEFLAGS; directory=$$(mktemp --directory) && trap "rm -rf $$directory" EXIT && \
	$(BIN)/python -m pytest --quiet -m "not sweep" --basetemp=$$directory/tests $($@)

test-other-kernels:
	@$(BIN)/python -m tests.vm test

test-sweeps: deps venv bpf ## More of what the tests show once: each way to attach, each signal, each kill
	$(BIN)/python -m pytest -m sweep

test-kills: deps venv bpf ## The agent killed at each single step of an apply, of an ADD, of a DEL (25 minutes)
	KILLS=all $(BIN)/python -m pytest --timeout=1200 tests/netns/test_killed.py tests/netns/test_pods_killed.py

test-vm: deps venv bpf ## The part of it that runs on other kernels, under QEMU; ARGS="test --all", ARGS=load
	packaging/install-deps vm
	$(BIN)/python -m tests.vm $(or $(ARGS),test)

mutants: deps venv bpf ## One fault at a time planted in the data path, which a test must find; ARGS="NAME..."
	$(BIN)/python -m tests.mutants $(ARGS)

fuzz: deps venv bpf ## Data path and reference on 10 million packets; ARGS="--packets N --minutes N --seed N"
	$(BIN)/python -m tests.fuzz $(ARGS)

check: deps venv bpf ## Style, types, imports, generated files, size of the programs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	clang-format --dry-run --Werror $(C_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m sixlane.datapath.generate --check
	$(BIN)/python -m sixlane.model.reference --check
	$(BIN)/python -m sixlane.cli.pages --check
	$(BIN)/python -m sixlane.api.openapi --check
	$(BIN)/python -m sixlane.agent.doctor.document --check
	$(BIN)/python -m tests.conformance --check
	$(BIN)/python -m sixlane.datapath.sizes --check

bench: deps venv bpf ## Everything that is measured, to bench.json (40 minutes); ARGS="--rounds N --out FILE --quick"
	packaging/install-deps bench
	$(BIN)/python -m bench $(ARGS)

bench-packet: deps venv bpf ## Nanoseconds a packet, on one CPU; ARGS="--rounds N --cpu N --only TEXT"
	$(BIN)/python -m bench.packet $(ARGS)

bench-sessions: deps venv bpf ## Nanoseconds a packet among 4 million sessions, and of new ones (6 GiB); ARGS="--flows N --rounds N"
	$(BIN)/python -m bench.crowds $(or $(ARGS),--flows 4194304)

bench-services: deps venv bpf ## Nanoseconds a packet to services; ARGS="--rounds N --cpu N --only TEXT"
	$(BIN)/python -m bench.services $(ARGS)

bench-live: deps venv bpf ## Packets a second of one CPU, live frames by XDP; ARGS="--rounds N --cpu N"
	$(BIN)/python -m bench.live $(ARGS)

bench-apply: deps venv bpf ## How long applies take, with long lists and beside them; ARGS="--rounds N"
	$(BIN)/python -m bench.apply $(ARGS)

bench-forward: deps venv bpf ## Traffic through a gateway, beside plain forwarding and others; ARGS="--rounds N --seconds S"
	packaging/install-deps bench
	$(BIN)/python -m bench.forward $(ARGS)

bench-requests: deps venv bpf ## Requests to a service, beside nftables DNAT; ARGS="--rounds N --seconds S"
	packaging/install-deps bench
	$(BIN)/python -m bench.requests $(ARGS)

bench-pods: deps venv bpf ## Pod to pod, beside the plugins bridge and ptp; ARGS="--rounds N --seconds S"
	packaging/install-deps bench
	$(BIN)/python -m bench.pods $(ARGS)

bench-pods-vm: deps venv bpf ## Instructions of a transaction by veth and netkit, in an emulated machine; ARGS="--rounds N"
	packaging/install-deps vm
	packaging/install-deps bench
	$(BIN)/python -m bench.instructions $(ARGS)

generate: deps venv bpf ## Whatever is made from other files: layout.py, the pages of keys, commands, doctor and conformance, OpenAPI
	$(BIN)/python -m sixlane.datapath.generate
	$(BIN)/python -m sixlane.model.reference
	$(BIN)/python -m sixlane.cli.pages
	$(BIN)/python -m sixlane.api.openapi
	$(BIN)/python -m sixlane.agent.doctor.document
	$(BIN)/python -m tests.conformance

format: venv ## Format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(C_FILES)

bpf: deps ## The data path
	$(MAKE) --no-print-directory -C bpf

deps: ## Debian's packages, those that are missing (needs root)
	@packaging/install-deps

venv: .venv/.installed ## The virtual environment in .venv

.venv/.installed: pyproject.toml hatch_build.py | deps
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

install: ## Commands, CNI plugin, units, man pages, completions under PREFIX, with DESTDIR in front
	packaging/install-deps build
	$(PYTHON) -m venv --clear $(DESTDIR)$(PREFIX)/lib/sixlane
	$(DESTDIR)$(PREFIX)/lib/sixlane/bin/python -m pip install --quiet $(PIP_FLAGS) .
	packaging/install-files "$(DESTDIR)" "$(PREFIX)"

uninstall: ## Take all of that away; what is in force, /etc/sixlane and /var/lib/sixlane stay
	packaging/install-files --remove "$(DESTDIR)" "$(PREFIX)"
	rm -rf $(DESTDIR)$(PREFIX)/lib/sixlane

clean: ## Remove what was built, the virtual environment too
	$(MAKE) --no-print-directory -C bpf clean
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
