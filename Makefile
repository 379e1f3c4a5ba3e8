# Each of these does all of its own set-up. Needs cargo, go, cc and python3, or says which of them is missing.

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The demo and the tests use the same features, so that neither builds what the other has built.
CARGO_FLAGS := --workspace --features seams --locked
# Tests of the running operator wait more than they work.
export RUST_TEST_THREADS ?= 4

.PHONY: help demo test lint crds vendor-sdk clean needs-build needs-venv controlplane

help:
	@echo 'make demo        the operator at work on a real Kubernetes API, told in the terminal'
	@echo 'make test        the whole test suite'
	@echo 'make lint        formatting and clippy; warnings are errors'
	@echo 'make crds        writes crds/ anew from the types in src/crd.rs'
	@echo 'make vendor-sdk  installs the Python SDK that one of the tests uses into $(TARGET)/'
	@echo 'make clean       removes everything that was built here'

demo: needs-build controlplane
	cargo build $(CARGO_FLAGS) --bins
	@exec $(TARGET)/debug/demo

test: needs-build needs-venv controlplane vendor-sdk
	cargo test $(CARGO_FLAGS) --no-run
	cargo test $(CARGO_FLAGS) --no-fail-fast

lint:
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo 'make lint needs rustfmt and clippy: rustup component add rustfmt clippy' >&2; exit 1; }
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

crds: needs-build
	cargo build --locked --bin fireworks-user-operator
	$(TARGET)/debug/fireworks-user-operator crd > $(TARGET)/fireworksusers.yaml
	mv $(TARGET)/fireworksusers.yaml crds/fireworksusers.yaml

vendor-sdk: needs-venv
	tests/gateway/sdk/install.sh $(TARGET)/vendor-sdk

clean:
	cargo clean
	rm -rf tests/controlplane/bin

# Prints nothing to do when the binaries are there, or KUBEBUILDER_ASSETS names a folder that holds them.
controlplane: needs-build
	@tests/controlplane/build.sh

# One line that names all that is missing. Go is only needed for the control plane.
needs-build:
	@missing=; \
	command -v cargo >/dev/null || missing="$$missing cargo (https://rustup.rs)"; \
	command -v cc >/dev/null || missing="$$missing cc (your system's package gcc or clang)"; \
	[ -n "$$KUBEBUILDER_ASSETS" ] || command -v go >/dev/null || \
		missing="$$missing go 1.26 (https://go.dev/dl, or set KUBEBUILDER_ASSETS)"; \
	[ -z "$$missing" ] || { echo "please install:$$missing" >&2; exit 1; }

needs-venv:
	@python3 -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'please install: python3 with venv (your system packages python3 and python3-venv)' >&2; exit 1; }
