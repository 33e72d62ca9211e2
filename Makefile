# Two targets are all a visitor needs: `make demo` and `make test`.

.PHONY: demo build test unit integration tools fuzz fuzz-briefly bench bench-captcha bench-gate attack conformance coverage mutation soak languages timing docs lint vulncheck

FUZZTIME ?= 60s

demo: build ## the gate in front of an example app, at http://localhost:8080
	@printf '\n  Open      http://localhost:8080\n  User      demo\n  Password  open-sesame-please\n\n  Stop with Ctrl-C.\n\n'
	@bin/caddy run --config Caddyfile.example --adapter caddyfile

build: ## Caddy with the gate, as bin/caddy
	@echo 'Building Caddy with the gate (a few minutes the first time, then seconds) ...'
	@mkdir -p bin
	go build -o bin/caddy ./cmd/caddy

# The race detector makes bcrypt fourteen times as slow, and finds nothing in the plain
# computing of these: password hashes, and lists of words and of grammars, which every Caddy
# reads when it starts. All else is under it.
COMPUTING = golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b golang.org/x/crypto/blowfish \
	github.com/alecthomas/chroma/v2/... github.com/ccojocar/zxcvbn-go/...
unit integration conformance soak: export GOFLAGS += $(foreach package,$(COMPUTING),-gcflags=$(package)=-race=false)

test: tools unit fuzz-briefly integration ## everything, race detector on

tools: ## what the tests need beside Go: chromium, htpasswd, redis, fail2ban, axe-core
	integration/install-tools

# With -vet=all, go test does what go vet does, and with the packages built for the tests.
unit:
	go test -race -vet=all ./...
	cd benchmarks && go test -vet=all ./...

# Go cannot know that these depend on the Caddy that they build, so it must not take the
# last result for the next. Half of the time they wait, hence four at a time.
integration:
	cd integration && go test -race -vet=all -count=1 -parallel 4 -timeout 20m ./...

fuzz: ## each fuzz target for FUZZTIME
	internal/fuzz $(FUZZTIME) ./...

# Twelve targets of packages that need little else, and so are built quickly.
fuzz-briefly: ## ten seconds each for what reads headers, addresses, tokens, and the files of users and contacts
	internal/fuzz 10s ./captcha/seal $(addprefix ./caddymodule/internal/,contacts htpasswd identity localpath password)

bench: ## the benchmarks, ready for benchstat
	go test -run '^$$' -bench . -benchmem ./...

bench-captcha: ## our captcha beside other Go libraries, into docs/; wants a quiet machine
	@mkdir -p bin
	cd benchmarks && for run in 1 2 3 4 5 6; do go test -run '^$$' -bench . -cpu 1 -count 1 . || exit 1; done >../bin/benchmarks.txt
	cd benchmarks && go run ./report -o ../docs/benchmarks.md -svg ../docs/benchmarks.svg <../bin/benchmarks.txt
	cd benchmarks && go run ./sheet -o ../docs/captcha-libraries.png

bench-gate: ## the gate beside Caddy without one and other gates, into docs/; twenty minutes on a quiet machine
	cd benchmarks/gate && go run . -o ../../docs/performance.md -svg ../../docs/performance.svg

attack: ## what programs that read pictures make of ours and others, into docs/attack.md; ten minutes
	benchmarks/attack/run docs/attack.md

conformance: tools ## which tests show which security requirement, and how they went
	@(go test -json ./...; cd integration && go test -json -count=1 -timeout 20m ./...) | go run ./internal/conformance

coverage: tools ## which part of the statements unit and integration tests run together; fails below its floors
	@rm -rf bin/coverage && mkdir -p bin/coverage/unit bin/coverage/integration
	go test -timeout 20m -covermode=atomic -coverpkg=./... ./... -args -test.gocoverdir='$(CURDIR)/bin/coverage/unit'
	cd integration && GOCOVERDIR='$(CURDIR)/bin/coverage/integration' go test -count=1 -timeout 30m ./...
	go tool covdata textfmt -i=bin/coverage/unit,bin/coverage/integration -o bin/coverage/profile.txt
	@go run ./internal/coverage <bin/coverage/profile.txt

MUTATED = captcha:answer.go,captcha.go,options.go,token.go,work.go captcha/seal $(addprefix caddymodule/internal/,identity localpath secondstep session throttle \
	htpasswd:argon2id.go,hash.go,htpasswd.go,judge.go,list.go,parse.go,password.go) \
	caddymodule:account.go,challenge.go,secondstep.go,serve.go,signin.go,signup.go

mutation: ## which changes to the code that decides no test notices, see docs/mutation.md; half an hour
	go run ./internal/mutation -floor 85 $(MUTATED)

soak: tools ## a minute of everything at once under the race detector, 100,000 sign-ins, 1,000 reloads; a quarter of an hour
	cd integration && CAPTCHA_GATE_STRESS=60s go test -v -count=1 -timeout 20m -run EverythingAtOnce .
	cd integration && CAPTCHA_GATE_MEASURE=1 go test -v -count=1 -parallel 1 -timeout 1h -run 'ManySignIns|ManyReloads' .

languages: tools ## every page in every language on a phone, with screenshots in integration/artifacts
	cd integration && CAPTCHA_GATE_EVERY_LANGUAGE=1 go test -count=1 -timeout 20m -run 'TestBrowser/every_language' ./...

timing: ## whether users can be told by the time of a refusal; fifteen minutes on a quiet machine
	go test -run '^$$' -bench CRD6 -benchtime 1x -timeout 1h -v ./caddymodule | grep -v '^{'

docs: ## docs/reference.md, from the comments of the options
	go run ./docs/generate

lint:
	golangci-lint run ./...
	cd integration && golangci-lint run ./...
	cd benchmarks && golangci-lint run ./...

vulncheck: ## known flaws in what is used; asks vuln.go.dev
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...
