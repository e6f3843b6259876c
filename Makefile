# The one door: what people type is what CI runs. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# CI must build exactly what is committed; at a desk a changed Cargo.toml may refresh the lock.
CARGO_ARGS := $(if $(CI),--locked)
PHASE := scripts/phase.sh

# Every test target is offline and quick unless it is named here: a new one is never forgotten.
CLUSTER_TESTS := cluster
PROPERTY_TESTS := properties
NODE_TESTS := node
GATEWAY_TESTS := gateways
INSTALL_TESTS := install
GITOPS_TESTS := gitops
ALL_TESTS := $(sort $(basename $(notdir $(wildcard tests/*.rs))) $(notdir $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs))))
OFFLINE_TESTS := $(filter-out $(CLUSTER_TESTS) $(PROPERTY_TESTS) $(NODE_TESTS) $(GATEWAY_TESTS) $(INSTALL_TESTS) $(GITOPS_TESTS),$(ALL_TESTS))

# A package with its own lock, so that only those who measure decisions build Cedar.
CEDAR := --manifest-path benches/cedar/Cargo.toml --target-dir target/cedar

# Each has a corpus of its own; what a run finds goes under target/, to be looked at first.
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

# What `make gen` writes.
GENERATED := crds docs/reference deploy/chart/files deploy/components/monitoring/dashboard.json

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the release binary, target/release/anthropic-rbac
	cargo build $(CARGO_ARGS) --release

.PHONY: dist
dist: ## what a release offers for installing, in target/dist (IMAGE=REGISTRY/NAME, DIGEST=sha256:...)
	@scripts/dist.sh

.PHONY: demo
demo: ## the seed organisation on a local API server, operator running; cleans up after itself
	@scripts/demo.sh

.PHONY: kind-demo
kind-demo: ## the same on a throwaway kind cluster, operator in a Deployment (needs Docker and kind)
	@scripts/kind-demo.sh

.PHONY: node-demo
node-demo: ## the same on a real node, with a revocation seen from inside a pod (root on Linux, no Docker)
	@scripts/node-demo.sh

.PHONY: control-plane
control-plane: ## build etcd, kube-apiserver, kube-controller-manager and kubectl (once, about 7 min; KUBERNETES=1.33: the oldest supported)
	@tests/controlplane/build.sh

.PHONY: gateways
gateways: ## install the gateways and SDKs that tests run (once, about 1 min; needs Python)
	@tests/gateways/install.sh

.PHONY: test
test: ## everything CI runs, cheapest first
	@$(PHASE) "unit and offline tests" $(MAKE) test-quick
	@$(PHASE) "properties of generated worlds" $(MAKE) test-properties
	@$(PHASE) "agreement with Cedar" $(MAKE) test-agreement
	@$(PHASE) "wall around the core" $(MAKE) wall
	@$(PHASE) "lint" $(MAKE) lint
	@$(PHASE) "generated files" $(MAKE) gen-check
	@$(PHASE) "documentation site" $(MAKE) site
	@$(PHASE) "lua" $(MAKE) check-lua
	@$(PHASE) "gateways" $(MAKE) gateways
	@$(PHASE) "tests of real gateways" $(MAKE) test-gateways
	@$(PHASE) "control plane" $(MAKE) control-plane
	@$(PHASE) "manifests" $(MAKE) check-files
	@$(PHASE) "install forms" $(MAKE) test-install
	@$(PHASE) "calendar" $(MAKE) check-calendar
	@$(PHASE) "tests on a node, where there can be one" $(MAKE) node-test
	@$(PHASE) "cluster tests" $(MAKE) test-cluster
	@$(PHASE) "demo" $(MAKE) demo

.PHONY: test-quick
test-quick: ## formatting, unit and offline tests; seconds when warm
	cargo fmt --check
	cargo test $(CARGO_ARGS) --no-fail-fast --lib --bins $(addprefix --test ,$(OFFLINE_TESTS))
	cargo test $(CARGO_ARGS) --doc

.PHONY: test-properties
test-properties: ## what must hold in every world, tried on over 100,000 (PROPERTY_CASES, PROPERTY_SEED)
	cargo test $(CARGO_ARGS) $(addprefix --test ,$(PROPERTY_TESTS))
	PROPERTY_CASES="$${PROPERTY_CASES:-10000}" cargo test $(CARGO_ARGS) --test compare

.PHONY: test-agreement
test-agreement: ## decisions against Cedar's engine, on 200,000 random requests (AGREEMENT_REQUESTS)
	cargo fmt --check --manifest-path benches/cedar/Cargo.toml
	cargo test $(CARGO_ARGS) --release $(CEDAR) -- --nocapture

.PHONY: test-gateways
test-gateways: ## tests on a real Envoy, with a fake of Anthropic's API behind it (GATEWAY_REQUESTS, ENVOY)
	cargo test $(CARGO_ARGS) $(addprefix --test ,$(GATEWAY_TESTS))

.PHONY: test-gateways-long
test-gateways-long: ## the same with 1,000,000 generated requests
	GATEWAY_REQUESTS=1000000 $(MAKE) test-gateways

.PHONY: test-cluster
test-cluster: ## tests on a real API server: KUBECONFIG's, else KUBEBUILDER_ASSETS', else the built one (NAMESPACED=all: also with Roles only)
	cargo test $(CARGO_ARGS) $(addprefix --test ,$(CLUSTER_TESTS))

.PHONY: test-install
test-install: ## chart and kustomize make the same of the same choices, and an API server takes it
	cargo test $(CARGO_ARGS) $(addprefix --test ,$(INSTALL_TESTS))

.PHONY: node-test
node-test: ## tests on a real kubelet (root on Linux, else skipped); NODE_TRIES=50 measures more often
	cargo test $(CARGO_ARGS) $(addprefix --test ,$(NODE_TESTS)) -- --nocapture

.PHONY: test-gitops
test-gitops: ## tests with real Flux and Argo CD (outside `test`: building them takes half an hour the first time)
	cargo test $(CARGO_ARGS) $(addprefix --test ,$(GITOPS_TESTS)) -- --nocapture

.PHONY: test-cluster-oldest
test-cluster-oldest: ## the cluster tests on the oldest Kubernetes that the chart takes (built once, about 7 min)
	@export KUBERNETES="$$(sed -nE 's/^kubeVersion: ">=([0-9.]+)\.0-0"$$/\1/p' deploy/chart/Chart.yaml)"; \
	: "$${KUBERNETES:?deploy/chart/Chart.yaml does not say which}"; \
	$(MAKE) control-plane test-cluster

.PHONY: node-test-installs
node-test-installs: ## from nothing to ready and back by each documented way of installing, and an upgrade under load
	NODE_INSTALLS=true cargo test $(CARGO_ARGS) $(addprefix --test ,$(NODE_TESTS)) -- install: --nocapture

.PHONY: fuzz
fuzz: ## look for a panic with each fuzz target for FUZZ_SECONDS (45; needs nightly Rust and cargo-fuzz)
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/$$target; \
	  cargo +nightly fuzz run $$target target/fuzz/$$target fuzz/corpus/$$target -- \
	    -max_total_time=$${FUZZ_SECONDS:-45}; \
	done

.PHONY: bench
bench: ## measure decisions beside Cedar, planning, the release binary on an API server, and Envoy
	cargo run $(CARGO_ARGS) --release --quiet $(CEDAR)
	cargo bench $(CARGO_ARGS) --bench scale
	cargo build $(CARGO_ARGS) --release
	MEASURE=true ANTHROPIC_RBAC_BINARY="$$(cargo metadata --format-version=1 --no-deps \
	  | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/anthropic-rbac" \
	  cargo test $(CARGO_ARGS) $(addprefix --test ,$(CLUSTER_TESTS)) -- measure: --nocapture
	MEASURE=true cargo test $(CARGO_ARGS) $(addprefix --test ,$(GATEWAY_TESTS)) -- measure:

.PHONY: lint
lint: ## rustfmt and clippy, warnings denied, with and without the operator feature
	cargo fmt --check
	cargo clippy $(CARGO_ARGS) --all-targets -- -D warnings
	cargo clippy $(CARGO_ARGS) $(addprefix --test ,$(CLUSTER_TESTS) $(NODE_TESTS) $(GATEWAY_TESTS) $(INSTALL_TESTS) $(GITOPS_TESTS)) -- -D warnings
	cargo clippy $(CARGO_ARGS) --lib --no-default-features -- -D warnings

.PHONY: wall
wall: ## the core compiles alone and pulls in nothing of Kubernetes, clocks or IO
	@scripts/wall.sh $(CARGO_ARGS)

.PHONY: gen
gen: ## write the generated files: the CRDs, the policy's JSON schema, reference pages, the chart's copies, the dashboard
	rm -f crds/*.yaml
	cargo run $(CARGO_ARGS) --quiet -- crds --out crds
	mkdir -p docs/reference
	cargo run $(CARGO_ARGS) --quiet -- schema > docs/reference/policy.schema.json
	rm -f docs/reference/*.md
	cargo run $(CARGO_ARGS) --quiet -- reference --out docs/reference
	scripts/gen-chart.sh
	UPDATE_MONITORING=1 cargo test $(CARGO_ARGS) --quiet --test monitoring generated_one

.PHONY: gen-check
gen-check: gen ## fail if `make gen` changes or adds anything
	@left=$$(git status --porcelain --untracked-files=all -- $(GENERATED)); \
	if [[ -n $$left ]]; then \
	  echo "generated files differ from what is committed; run 'make gen' and commit:" >&2; \
	  echo "$$left" >&2; git --no-pager diff --stat -- $(GENERATED) >&2; exit 1; \
	fi

.PHONY: check-files
check-files: ## kustomize builds, RBAC, Dockerfile, alerts, what a release is made with
	@scripts/check-deploy.sh
	@scripts/check-dockerfile.sh
	@scripts/check-monitoring.sh
	@scripts/check-release.sh

.PHONY: site
site: ## the documents as a book, target/site/index.html, its links checked (needs Python; once about 2 min)
	@scripts/site.sh

.PHONY: check-calendar
check-calendar: ## read the calendar of due keys with two libraries by other people (needs Python; npm if there)
	@scripts/check-calendar.sh $(CARGO_ARGS)

.PHONY: check-lua
check-lua: ## hold the gateways' Lua to one format and to names that exist (npm, if there)
	@scripts/check-lua.sh

.PHONY: lua
lua: ## format the gateways' Lua
	@scripts/check-lua.sh --write

.PHONY: deny
deny: ## licences, advisories and sources of dependencies (needs cargo-deny; fetches the advisory list)
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is not installed: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check

.PHONY: sbom
sbom: ## what the release binary is made of, target/anthropic-rbac.spdx.json, valid SPDX 2.3 (needs Python)
	@scripts/check-sbom.sh

.PHONY: reproducible
reproducible: ## build the release twice, in places that lie elsewhere, and compare (two release builds; TARGET=...)
	@scripts/reproducible.sh

.PHONY: clean
clean: ## remove what was built and rendered
	cargo clean
	rm -rf out
