# make run    the whole product on this machine, with a demo inbox (needs only Go)
# make test   the whole test suite with the race detector, real peers included
# make help   the other verbs

GO      ?= go
BIN     := bin/careerrelay
FUZZTIME ?= 10s

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: help run build test peers lint generate bench bench-tables fuzz deb rpm image sbom clean

help:
	@sed -n 's/^# make //p' Makefile
	@echo 'build      a static binary in $(BIN)'
	@echo 'lint       gofmt, vet, staticcheck, govulncheck, generated files up to date'
	@echo 'bench      speed and memory of every part and of the whole hop'
	@echo 'bench-tables  the tables of docs/benchmarks.md, peers included: medians of COUNT ($(COUNT)) runs'
	@echo 'deb rpm    packages for Debian and for RPM systems, in out/packages'
	@echo 'image      a container image (needs Docker)'
	@echo 'sbom       what the program consists of, as CycloneDX'
	@echo 'fuzz       every fuzz target for FUZZTIME ($(FUZZTIME))'
	@echo 'generate   schemas and generated pages from the Go types'

run: build
	$(BIN) demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/careerrelay

# The race detector needs cgo; the product itself never does. One package at a
# time: real peers and deadlines want a machine that is not busy with something else.
test: peers
	CGO_ENABLED=1 $(GO) test -race -count=1 -p 1 -timeout 40m -tags browser ./...
	CGO_ENABLED=0 $(GO) test -count=1 -run Memory ./smtp ./rewrite # the race detector multiplies memory

# Real peers (Postfix, swaks, Chromium, Japanese fonts) from the distribution.
peers:
	@bash .ci/peers

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt -w these files:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	CGO_ENABLED=0 $(GO) vet -tags browser ./...
	CGO_ENABLED=0 $(GO) run $(STATICCHECK) -tags browser ./...
	@bash .ci/vulnerabilities $(GOVULNCHECK)
	$(GO) mod verify
	$(GO) mod tidy -diff
	$(MAKE) --no-print-directory generate
	git diff --exit-code

generate:
	$(GO) generate ./...

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The tables of docs/benchmarks.md, as Markdown: medians of COUNT interleaved runs.
COUNT ?= 5
bench-tables: peers
	@bash .ci/bench $(COUNT)

fuzz:
	@bash .ci/fuzz $(FUZZTIME)

# Packages, image and bill of materials: packaging/Makefile.
deb rpm image sbom:
	@$(MAKE) --no-print-directory -C packaging $@

clean:
	rm -rf bin out
