# Each target does all of its own set-up. Requires cargo, go, cc and python3, or names those that are missing.

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The demo and the tests build the same packages, so that neither builds what the other has built.
CARGO_FLAGS := --workspace --locked
# Tests of the running operator mostly wait.
export RUST_TEST_THREADS ?= 6
# The number of states that the explorer searches.
EXPLORER_STATES ?= 13000000

# What a target requires, each as a test and its message; `need` lists all that is missing in one line.
RUST := command -v cargo >/dev/null || lacks 'cargo (https://rustup.rs)'; \
	command -v cc >/dev/null || lacks "cc (your system's gcc or clang)"
GO := [ -n "$$KUBEBUILDER_ASSETS" ] || command -v go >/dev/null || \
	lacks 'go 1.26 (https://go.dev/dl; or set KUBEBUILDER_ASSETS)'
# Without a message where GO has one.
HELM := command -v go >/dev/null || [ -x tests/controlplane/bin/helm ] || [ -z "$$KUBEBUILDER_ASSETS" ] || \
	lacks 'go 1.26 (https://go.dev/dl)'
PYTHON := python3 -c 'import ensurepip, venv' 2>/dev/null || lacks "python3 with venv (your system's python3-venv)"
need = missing=; lacks() { missing="$$missing, $$1"; }; $(1); \
	[ -z "$$missing" ] || { echo "please install: $${missing\#, }" >&2; exit 1; }

.NOTPARALLEL:
.PHONY: help demo cluster cluster-test test bench bench-page explore lint crates deny coverage mutants fuzz crds vendor-sdk clean \
	needs-of-demo needs-of-test needs-of-cluster controlplane helm node manifests image image-twice cli

help:
	@echo 'make demo        the operator on a real Kubernetes API with a simulated gateway, step by step'
	@echo 'make test        the whole test suite, make explore included'
	@echo 'make bench       cost and latency, compared with their bounds; 20 minutes. BENCH=quick for five,'
	@echo '                 BENCH=drift,writes for these scenarios; $(TARGET)/tools/bench-driver --help lists all'
	@echo 'make bench-page  writes the figures of the last complete make bench into docs/benchmarks.md'
	@echo 'make cluster     a one-node Kubernetes with the operator and a simulated gateway on it, and a shell; needs root'
	@echo 'make cluster-test  installs, upgrades and breaks the operator on such a node; needs root'
	@echo 'make explore     the state search alone; EXPLORER_STATES=N sets the number of states'
	@echo 'make lint        formatting, clippy, and the words, links and lines of the pages; warnings are errors'
	@echo 'make crates      checks each crate of src/ alone, with the features that it asks for itself'
	@echo 'make deny        licenses, sources and banned crates of all dependencies, as deny.toml has it'
	@echo 'make coverage    lines that the unit tests and the golden table reach; needs cargo-llvm-cov'
	@echo 'make mutants     mutation tests of the deciding code; takes hours; needs cargo-mutants'
	@echo 'make fuzz        fuzzing, a minute per target; needs cargo-fuzz and a nightly toolchain'
	@echo 'make crds        generates crds/ from the types in src/crd/src/lib.rs'
	@echo 'make manifests   renders deploy/chart: install.yaml, the policy, the README of the chart'
	@echo 'make image       the image as an OCI archive in $(TARGET)/image; needs musl-gcc and no container engine'
	@echo 'make cli         kubectl-fireworks for Linux as static programs in archives in $(TARGET)/archives, with checksums'
	@echo 'make image-twice builds the image from nothing in two folders and compares; takes a while'
	@echo 'make vendor-sdk  installs the Python SDK that one of the tests uses into $(TARGET)/'
	@echo 'make clean       removes everything that was built here'

demo: needs-of-demo controlplane
	cargo build $(CARGO_FLAGS) --bins
	@exec $(TARGET)/debug/demo

test: needs-of-test controlplane helm vendor-sdk
	cargo test $(CARGO_FLAGS) --no-run
	cargo test $(CARGO_FLAGS) --no-fail-fast
	@$(MAKE) --no-print-directory explore

# Measures the released program. Results go to $(TARGET)/bench; those of a part (BENCH=quick or names
# of scenarios) to $(TARGET)/bench/part.
BENCH ?= full

bench: needs-of-demo controlplane
	mkdir -p $(TARGET)/bench
ifneq ($(filter full quick,$(BENCH)),)
	# First, since it leaves an operator without LTO at the path of the released one.
	cargo bench --locked --bench micro > $(TARGET)/bench/micro.txt
	@cat $(TARGET)/bench/micro.txt
endif
	# Separately: in one build they would share features, and the operator would not be the released one.
	cargo build --release --locked -p fireworks-user-operator
	cargo build --release --locked -p naive-operator
	cargo build --profile tools --locked -p bench-driver -p fireworks-gateway-simulator
	$(TARGET)/tools/bench-driver $(if $(filter quick,$(BENCH)),--quick,$(if $(filter-out full,$(BENCH)),--only $(BENCH))) \
		--out $(TARGET)/bench \
		--operator $(TARGET)/release/fireworks-user-operator --naive $(TARGET)/release/naive-operator \
		--simulator $(TARGET)/tools/fireworks-gateway-simulator

# The text between the marks is from the last complete run.
bench-page:
	@[ -f $(TARGET)/bench/table.md ] || { echo 'there are no figures yet: make bench' >&2; exit 1; }
	@{ echo '```'; cat $(TARGET)/bench/micro.txt; echo '```'; } > $(TARGET)/bench/micro.md
	sed -i -e '/^<!-- figures -->$$/,/^<!-- end of figures -->$$/{//!d}' -e '/^<!-- micro -->$$/,/^<!-- end of micro -->$$/{//!d}' \
		-e '/^<!-- figures -->$$/r $(TARGET)/bench/table.md' -e '/^<!-- micro -->$$/r $(TARGET)/bench/micro.md' docs/benchmarks.md

# A node in namespaces of its own, with the released image. It leaves nothing behind, and prints one line with the reason
# if it cannot run here.
cluster cluster-test: needs-of-cluster controlplane helm node image
	cargo build $(CARGO_FLAGS) --bins
	@exec $(TARGET)/debug/cluster $(if $(filter cluster,$@),shell,test $(SCENARIOS))

explore:
	cargo build $(CARGO_FLAGS) --bin explorer
	$(TARGET)/debug/explorer --states $(EXPLORER_STATES)
	$(TARGET)/debug/explorer --bugs

lint:
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo 'make lint needs rustfmt and clippy: rustup component add rustfmt clippy' >&2; exit 1; }
	@$(call need,command -v python3 >/dev/null || lacks python3)
	python3 tests/docs/words.py
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

# In one build the crates get the features of all others: only alone does one show that it asks for what it uses.
crates:
	@$(call need,$(RUST))
	@set -e; for crate in src/*/; do echo "$$crate"; \
		cargo check --quiet --locked --all-targets --manifest-path $$crate/Cargo.toml; done

deny:
	@$(call need,$(RUST); $(PYTHON))
	tests/deny/check.sh $(TARGET)/deny

# The code that decides, and its inputs: at least 95 % of the lines.
COVERED := user/plan.rs|conditions.rs|api/src/error.rs|account/(absence|admins|apply|canary|freshness|limiter|refresh|updates|users).*rs

coverage:
	@$(call need,$(RUST); cargo llvm-cov --version >/dev/null 2>&1 || lacks 'cargo-llvm-cov (cargo install cargo-llvm-cov)'; \
		command -v python3 >/dev/null || lacks python3)
	cargo llvm-cov --locked --workspace --lib --test golden --lcov --output-path $(TARGET)/coverage.lcov
	@python3 tests/coverage.py $(TARGET)/coverage.lcov 95 '$(COVERED)'

# `MUTANTS=--iterate` continues a stopped run; `MUTANTS='--shard 0/4'` runs a part.
mutants:
	@$(call need,$(RUST); cargo mutants --version >/dev/null 2>&1 || lacks 'cargo-mutants (cargo install cargo-mutants)')
	cargo mutants --output $(TARGET)/mutants $(MUTANTS)

# Seconds per target. New inputs stay in $(TARGET)/fuzz; add those that fail to the corpus.
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
	cargo run --locked --package fireworks-crd --example definition > $(TARGET)/fireworksusers.yaml
	mv $(TARGET)/fireworksusers.yaml crds/fireworksusers.yaml

# IMAGE_NAME and IMAGE_TAG for another name; two builds of one commit give one digest.
image:
	deploy/image/build.sh $(TARGET)/image

# ARCHIVES_URL=https://... also writes the manifest of the krew plugin for archives that will be there.
cli:
	@deploy/cli/build.sh $(TARGET)/archives

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

# Does nothing if the binaries exist, or KUBEBUILDER_ASSETS names a folder with them.
controlplane:
	@tests/controlplane/build.sh

# helm 4, the last helm 3, and the tools that check and document the chart and check workflows. The demo needs none of them.
helm:
	@tests/controlplane/helm/build.sh

# The parts of a node besides the control plane.
node:
	@tests/cluster/build.sh

# First in each target, so that a build that cannot succeed does not start.
needs-of-demo:
	@$(call need,$(RUST); $(GO))

needs-of-test:
	@$(call need,$(RUST); $(GO); $(HELM); $(PYTHON))

needs-of-cluster:
	@tests/cluster/needs.sh
	@$(call need,$(RUST); $(PYTHON); command -v go >/dev/null || lacks 'go 1.26 (https://go.dev/dl)')
