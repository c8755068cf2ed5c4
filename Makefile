# make help lists what there is. make test is the whole gate, make demo shows
# adit at work; both need only Go and, on Debian, root for apt-get.

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR    ?= /lib/systemd/system
DESTDIR    ?=
GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME   ?= 3s
FUZZBUDGET ?= 80s
LABTIMEOUT ?= 35m
BENCH      ?= .
BENCHFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build test quick lab demo demo-pppd bench microbench install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/adit, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/adit ./cmd/adit

test: ## everything that must hold: format, vet, lint, race, fuzz, the lab (FUZZTIME=3s LABTIMEOUT=35m)
	$(GO) run ./integration/gate -fuzztime $(FUZZTIME) -fuzzbudget $(FUZZBUDGET) -labtimeout $(LABTIMEOUT)

quick: ## the same without fuzzing and without the lab
	$(GO) run ./integration/gate -quick

lab: ## only the tests with a real kernel and real peers (RUN=pattern)
	$(GO) test ./integration/ -run '^TestLab$$' -count=1 -v -timeout $(LABTIMEOUT) $(if $(RUN),-lab.run '$(RUN)')

demo: build ## an LNS and a LAC in two namespaces, PPP up, ping and TCP through it, in seconds
	bin/adit demo

demo-pppd: build ## the same with real pppds and the kernel's L2TP, in a virtual machine if need be
	$(GO) run ./integration/demo -adit bin/adit

bench: build ## packets a second beside bare system calls and l2tpns; bench.json (BENCHFLAGS, needs root)
	$(GO) run ./integration/bench -adit bin/adit $(BENCHFLAGS)

microbench: ## the benchmarks of the packages (BENCH=pattern)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

install: build ## binary, systemd unit, configuration (PREFIX, SYSCONFDIR, UNITDIR, DESTDIR)
	install -D -m 755 bin/adit $(DESTDIR)$(PREFIX)/bin/adit
	install -d -m 750 $(DESTDIR)$(SYSCONFDIR)/adit
	install -D -m 640 etc/adit.toml $(DESTDIR)$(SYSCONFDIR)/adit/adit.toml.example
	install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/adit/pppd $(DESTDIR)$(UNITDIR)
	for f in etc/pppd/*; do to=$(DESTDIR)$(SYSCONFDIR)/adit/pppd/$${f##*/}; test -e "$$to" || install -m 644 "$$f" "$$to"; done
	sed 's,/usr/bin/adit,$(PREFIX)/bin/adit,' etc/systemd/adit.service > $(DESTDIR)$(UNITDIR)/adit.service
	chmod 644 $(DESTDIR)$(UNITDIR)/adit.service

clean: ## what make made (not the lab's kernel in the cache)
	rm -rf bin .lab
