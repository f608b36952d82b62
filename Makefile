# GNU Make 3.81 or newer, Go, a POSIX shell; Node.js with npm for the PostgreSQL servers of the tests and the demo,
# and for the types of Grafana that boards are held against.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# What tests run: make test PKG=./collector RUN=TestStatWAL. The race detector is on where a C compiler is there for it.
PKG      ?= ./...
RUN      ?=
RACE     ?= $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
FUZZTIME ?= 10s

# Which workloads make bench measures; all without.
WORKLOADS ?=

VERSION_PKG := github.com/prometheus/common/version
LDFLAGS      = -s -w -X $(VERSION_PKG).Version=$(VERSION)

# Directories of what the install scripts fetch once; each script prints its own.
SERVERS = $$(internal/pgtest/install.sh)
TOOLS   = $$(tools/install.sh)

# What the mixin's tests run.
MIXIN_TOOLS = JSONNET=$(TOOLS)/jsonnet PROMTOOL=$(TOOLS)/promtool THANOS=$(TOOLS)/thanos AMTOOL=$(TOOLS)/amtool TSC=$(TOOLS)/tsc

SONNETS    = $$(find mixin -name '*.*sonnet')
JSONNETFMT = $(TOOLS)/jsonnetfmt -n 2 --max-blank-lines 2 --string-style s --comment-style s

.PHONY: help build demo test lint generate record bench bloat-accuracy soak fuzz mixin mixin-live mixin-bench drill servers tools clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

build: ## Build bin/pgvigil, a static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/pgvigil ./cmd/pgvigil

# Not by go run, which ends at a kill and leaves what it runs.
demo: ## Watch an embedded primary, standby and pooler until Ctrl-C, or the server in DATA_SOURCE_NAME
	@if [ -z "$$DATA_SOURCE_NAME" ]; then internal/pgtest/install.sh >/dev/null; fi
	@$(GO) build -o bin/demo ./test/demo
	@bin/demo

test: lint servers ## Everything CI checks: lint, the tests on PostgreSQL 13 to 18, and those of alerts and boards
	@PGVIGIL_POSTGRES=$(SERVERS) $(MIXIN_TOOLS) \
		$(GO) run ./test/report -count=1 -timeout=40m $(RACE) $(if $(RUN),-run='$(RUN)') $(PKG)
	@$(if $(filter ./...,$(PKG)),$(MAKE) --no-print-directory mixin)

mixin: tools ## Test rules and boards of mixin/, without a server
	@$(MIXIN_TOOLS) $(GO) run ./test/report -C mixin/tests -count=1 -timeout=40m $(if $(RUN),-run='$(RUN)') ./...

mixin-live: servers tools ## Load the rules into a Prometheus that scrapes PostgreSQL 13 and 18, and ask it all that boards ask
	@PGVIGIL_POSTGRES=$(SERVERS) $(MIXIN_TOOLS) $(GO) run ./test/mixin

mixin-bench: servers tools ## Measure the evaluation of all rules over 500 instances, five minutes
	@PGVIGIL_POSTGRES=$(SERVERS) $(MIXIN_TOOLS) $(GO) run ./test/mixin -fleet 500

drill: servers tools ## Break real clusters and see which alerts come, docs/drills.md; RUN=slot runs one, SHORT=1 the few of CI
	@PGVIGIL_POSTGRES=$(SERVERS) $(MIXIN_TOOLS) \
		$(GO) run ./test/drill $(if $(RUN),-run='$(RUN)') $(if $(SHORT),-short -retry=1) $(if $(RUN)$(SHORT),,-matrix=docs/drills.md)

lint: tools ## gofmt, go mod tidy, go vet, staticcheck, jsonnetfmt, jsonnet-lint
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w these:"; echo "$$unformatted"; exit 1; }
	@$(GO) mod tidy -diff
	@$(GO) vet ./...
	@$(TOOLS)/staticcheck ./...
	@cd mixin/tests && $(GO) mod tidy -diff && $(GO) vet ./...
	@tools=$(TOOLS) && cd mixin/tests && $$tools/staticcheck ./...
	@$(JSONNETFMT) --test $(SONNETS) || { echo "mixin is not formatted: $(JSONNETFMT) -i FILE"; exit 1; }
	@$(TOOLS)/jsonnet-lint $(SONNETS)

generate: ## Write collector/all.go, METRICS.md, docs/readiness.md, and what mixin/ renders: alerts/, dashboards/, docs/alerts.md
	$(GO) run ./internal/catalog/gen/all collector
	$(GO) run ./internal/catalog/gen/metrics METRICS.md
	$(GO) run ./internal/readiness/gen docs/readiness.md
	rm -rf bin/mixin
	$$(tools/install.sh jsonnet)/jsonnet -S -c -m bin/mixin --ext-code 'config={}' mixin/rendered.jsonnet >/dev/null
	rm -rf alerts dashboards && cp -R bin/mixin/. . && rm -rf bin/mixin

record: servers ## Record collector/testdata anew from live servers
	PGVIGIL_POSTGRES=$(SERVERS) $(GO) test ./collector -count=1 -run 'TestRecord$$' -update

bench: servers ## Measure scrapes beside bare statements, WORKLOADS="S M L S-lifted M-lifted L-lifted"; docs/performance.md
	@PGVIGIL_POSTGRES=$(SERVERS) WORKLOADS="$(WORKLOADS)" $(GO) run ./test/bench

bloat-accuracy: servers ## Hold estimates of bloat against pgstattuple, on tables and indexes of known bloat
	@PGVIGIL_POSTGRES=$(SERVERS) $(GO) run ./test/bloat

soak: servers ## Scrape SOAK_SCRAPES (5000) times while tables, statements and databases come and go; fails if memory grows
	@PGVIGIL_POSTGRES=$(SERVERS) $(GO) run ./test/soak

fuzz: ## Run every fuzz test for FUZZTIME (10s)
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*:func | |' | while read -r dir name; do \
		$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; \
	done

servers: ## Install the PostgreSQL servers that tests and demo run on, and the tools beside them, once
	@internal/pgtest/install.sh
	@internal/pgtest/tools.sh

tools: ## Build or fetch promtool, staticcheck and the other tools of tools/, once
	@tools/install.sh

clean: ## Remove what make build and make demo wrote; servers and tools are in ~/.cache/pgvigil, for root /var/cache/pgvigil
	rm -rf bin
