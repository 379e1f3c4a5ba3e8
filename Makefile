# Each of these does all of its own set-up. Needs cargo, go, cc and python3, or says which of them is missing.

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The demo and the tests use the same features, so that neither builds what the other has built.
CARGO_FLAGS := --workspace --features seams --locked
# Tests of the running operator wait more than they work.
export RUST_TEST_THREADS ?= 4
# How many states of the world are searched.
EXPLORER_STATES ?= 12000000

# What a target needs, each as a test and the words for whoever lacks it; `need` says in one line all that is missing.
RUST := command -v cargo >/dev/null || lacks 'cargo (https://rustup.rs)'; \
	command -v cc >/dev/null || lacks "cc (your system's gcc or clang)"
GO := [ -n "$$KUBEBUILDER_ASSETS" ] || command -v go >/dev/null || \
	lacks 'go 1.26 (https://go.dev/dl; or set KUBEBUILDER_ASSETS)'
# Silent where the one above has said it.
HELM := command -v go >/dev/null || [ -x tests/controlplane/bin/helm ] || [ -z "$$KUBEBUILDER_ASSETS" ] || \
	lacks 'go 1.26 (https://go.dev/dl)'
PYTHON := python3 -c 'import ensurepip, venv' 2>/dev/null || lacks "python3 with venv (your system's python3-venv)"
need = missing=; lacks() { missing="$$missing, $$1"; }; $(1); \
	[ -z "$$missing" ] || { echo "please install: $${missing\#, }" >&2; exit 1; }

.NOTPARALLEL:
.PHONY: help demo cluster cluster-test test bench bench-page explore lint deny coverage mutants fuzz crds vendor-sdk clean \
	needs-of-demo needs-of-test needs-of-cluster controlplane helm node manifests image image-twice

help:
	@echo 'make demo        the operator at work on a real Kubernetes API, told in the terminal'
	@echo 'make test        the whole test suite, make explore included'
	@echo 'make bench       what it costs and how fast it is, beside what it must be; 20 minutes. BENCH=quick for five,'
	@echo '                 BENCH=drift,writes for these stories alone; $(TARGET)/tools/bench-driver --help names all'
	@echo 'make bench-page  puts the figures of the last whole make bench into docs/benchmarks.md'
	@echo 'make cluster     a one-node Kubernetes with the operator and a simulated gateway on it, and a shell; needs root'
	@echo 'make cluster-test  installs, upgrades and breaks the operator on such a node; needs root'
	@echo 'make explore     the search of states alone; EXPLORER_STATES=N for more or fewer of them'
	@echo 'make lint        formatting, clippy, and the words, links and lines of the pages; warnings are errors'
	@echo 'make deny        licenses, sources and banned crates of all dependencies, as deny.toml has it'
	@echo 'make coverage    lines that the unit tests and the golden table reach; needs cargo-llvm-cov'
	@echo 'make mutants     changes the deciding code line by line: does a test notice? takes hours; needs cargo-mutants'
	@echo 'make fuzz        a minute per kind of bytes from outside; needs cargo-fuzz and a nightly toolchain'
	@echo 'make crds        writes crds/ anew from the types in src/crd.rs'
	@echo 'make manifests   writes what follows from deploy/chart: install.yaml, the policy, the README of the chart'
	@echo 'make image       the image as an OCI archive in $(TARGET)/image; needs musl-gcc and no container engine'
	@echo 'make image-twice builds the image from nothing in two folders: is it the same? takes a while'
	@echo 'make vendor-sdk  installs the Python SDK that one of the tests uses into $(TARGET)/'
	@echo 'make clean       removes everything that was built here'

demo: needs-of-demo controlplane
	cargo build $(CARGO_FLAGS) --bins
	@exec $(TARGET)/debug/demo

test: needs-of-test controlplane helm vendor-sdk
	cargo test $(CARGO_FLAGS) --no-run
	cargo test $(CARGO_FLAGS) --no-fail-fast
	@$(MAKE) --no-print-directory explore

# Measured is the program as it is released, with no feature of the tests. Results go to $(TARGET)/bench; those of a part of
# it, BENCH=quick or the names of stories, to $(TARGET)/bench/part.
BENCH ?= full

bench: needs-of-demo controlplane
	mkdir -p $(TARGET)/bench
ifneq ($(filter full quick,$(BENCH)),)
	# First: it leaves an operator of its own, with the features of tests and without LTO, where the released one belongs.
	cargo bench --features seams --locked --bench micro > $(TARGET)/bench/micro.txt
	@cat $(TARGET)/bench/micro.txt
endif
	# Each by itself: together they would share their features, and the operator would not be the one that is released.
	cargo build --release --locked -p fireworks-user-operator
	cargo build --release --locked -p naive-operator
	cargo build --profile tools --locked -p bench-driver -p fireworks-gateway-simulator
	$(TARGET)/tools/bench-driver $(if $(filter quick,$(BENCH)),--quick,$(if $(filter-out full,$(BENCH)),--only $(BENCH))) \
		--out $(TARGET)/bench \
		--operator $(TARGET)/release/fireworks-user-operator --naive $(TARGET)/release/naive-operator \
		--simulator $(TARGET)/tools/fireworks-gateway-simulator

# What stands between the marks is from the last whole run.
bench-page:
	@[ -f $(TARGET)/bench/table.md ] || { echo 'there are no figures yet: make bench' >&2; exit 1; }
	@{ echo '```'; cat $(TARGET)/bench/micro.txt; echo '```'; } > $(TARGET)/bench/micro.md
	sed -i -e '/^<!-- figures -->$$/,/^<!-- end of figures -->$$/{//!d}' -e '/^<!-- micro -->$$/,/^<!-- end of micro -->$$/{//!d}' \
		-e '/^<!-- figures -->$$/r $(TARGET)/bench/table.md' -e '/^<!-- micro -->$$/r $(TARGET)/bench/micro.md' docs/benchmarks.md

# A whole node in namespaces of its own, with the image that is released on it. It leaves nothing behind, and says in one
# line why it cannot run here.
cluster cluster-test: needs-of-cluster controlplane helm node image
	cargo build $(CARGO_FLAGS) --bins
	@exec $(TARGET)/debug/cluster $(if $(filter cluster,$@),shell,test $(STORIES))

# Its own features are in no other build, but the same crates are: only the operator's library is built once more.
explore:
	cargo build $(CARGO_FLAGS) --features seeded-bugs --bin explorer
	$(TARGET)/debug/explorer --states $(EXPLORER_STATES)
	$(TARGET)/debug/explorer --bugs

lint:
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo 'make lint needs rustfmt and clippy: rustup component add rustfmt clippy' >&2; exit 1; }
	@$(call need,command -v python3 >/dev/null || lacks python3)
	python3 tests/docs/words.py
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

deny:
	@$(call need,$(RUST); $(PYTHON))
	tests/deny/check.sh $(TARGET)/deny

# What decides, and what it decides by: 95 % of its lines at least. As it is released: the features of tests add lines that
# only those tests use.
COVERED := reconcile/plan.rs|conditions.rs|fireworks/error.rs|fireworks/budget.*rs|fireworks/directory.*rs

coverage:
	@$(call need,$(RUST); cargo llvm-cov --version >/dev/null 2>&1 || lacks 'cargo-llvm-cov (cargo install cargo-llvm-cov)'; \
		command -v python3 >/dev/null || lacks python3)
	cargo llvm-cov --locked --lib --test golden --lcov --output-path $(TARGET)/coverage.lcov
	@python3 tests/coverage.py $(TARGET)/coverage.lcov 95 '$(COVERED)'

# `MUTANTS=--iterate` goes on where a run was stopped; `MUTANTS='--shard 0/4'` is a part of it.
mutants:
	@$(call need,$(RUST); cargo mutants --version >/dev/null 2>&1 || lacks 'cargo-mutants (cargo install cargo-mutants)')
	cargo mutants --output $(TARGET)/mutants $(MUTANTS)

# Seconds for each target. What is found new stays in $(TARGET)/fuzz; what breaks something is worth a file in the corpus.
FUZZ_SECONDS ?= 60

fuzz:
	@$(call need,$(RUST); command -v c++ >/dev/null || lacks "c++ (your system's g++ or clang++)"; \
		cargo fuzz --version >/dev/null 2>&1 || lacks 'cargo-fuzz (cargo install cargo-fuzz)'; \
		cargo +nightly --version >/dev/null 2>&1 || lacks 'a nightly toolchain (rustup toolchain install nightly)')
	@set -e; for corpus in tests/fuzz/corpus/*; do \
		export FUZZ_TARGET=$${corpus##*/}; found=$(TARGET)/fuzz/$$FUZZ_TARGET; mkdir -p $$found; \
		echo "$$FUZZ_TARGET:"; cargo +nightly fuzz run --fuzz-dir tests/fuzz/libfuzzer --target-dir $(abspath $(TARGET))/fuzz/build \
			outside $$found $$corpus -- -max_total_time=$(FUZZ_SECONDS) -verbosity=0; \
	done

crds:
	@$(call need,$(RUST))
	cargo build $(CARGO_FLAGS) --bin fireworks-user-operator
	$(TARGET)/debug/fireworks-user-operator crd > $(TARGET)/fireworksusers.yaml
	mv $(TARGET)/fireworksusers.yaml crds/fireworksusers.yaml

# IMAGE_NAME and IMAGE_TAG for another name; two builds of one commit give one digest.
image:
	deploy/image/build.sh $(TARGET)/image

image-twice:
	deploy/image/twice.sh

manifests: helm
	deploy/render.sh deploy

vendor-sdk:
	@$(call need,$(PYTHON))
	tests/gateway/sdk/install.sh $(TARGET)/vendor-sdk

clean:
	cargo clean
	rm -rf tests/controlplane/bin tests/cluster/bin

# Does nothing when the binaries are there, or KUBEBUILDER_ASSETS names a folder that holds them.
controlplane:
	@tests/controlplane/build.sh

# helm 4, the last helm 3, and what checks and describes the chart. The demo needs none of them.
helm:
	@tests/controlplane/helm/build.sh

# What a node takes besides the control plane.
node:
	@tests/cluster/build.sh

# Before anything else of the target, so that nobody waits for a build that cannot end well.
needs-of-demo:
	@$(call need,$(RUST); $(GO))

needs-of-test:
	@$(call need,$(RUST); $(GO); $(HELM); $(PYTHON))

needs-of-cluster:
	@tests/cluster/needs.sh
	@$(call need,$(RUST); $(PYTHON); command -v go >/dev/null || lacks 'go 1.26 (https://go.dev/dl)')
