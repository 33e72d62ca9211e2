# Two targets are all a visitor needs: `make demo` and `make test`.

.PHONY: demo build test unit integration tools fuzz bench lint

FUZZTIME ?= 60s

demo: build ## the gate in front of an example app, at http://localhost:8080
	@printf '\n  Open      http://localhost:8080\n  User      demo\n  Password  open-sesame-please\n\n  Stop with Ctrl-C.\n\n'
	@bin/caddy run --config Caddyfile.example --adapter caddyfile

build: ## Caddy with the gate, as bin/caddy
	@echo 'Building Caddy with the gate (a few minutes the first time, then seconds) ...'
	@mkdir -p bin
	go build -o bin/caddy ./cmd/caddy

test: tools unit integration ## everything, race detector on

tools: ## what the tests need beside Go: chromium, htpasswd, axe-core
	integration/install-tools

unit:
	go vet ./...
	go test -race ./...

integration:
	cd integration && go vet ./... && go test -race -timeout 20m ./...

fuzz: ## each fuzz target for FUZZTIME
	@go list ./... | while read -r package; do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz'); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" || exit 1; \
		done; \
	done

bench: ## the benchmarks, ready for benchstat
	go test -run '^$$' -bench . -benchmem ./...

lint:
	golangci-lint run ./...
