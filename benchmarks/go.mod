module github.com/captcha-gate/captcha-gate/benchmarks

go 1.26.0

require (
	github.com/afocus/captcha v0.0.0-20191010092841-4bd1f21c8868
	github.com/captcha-gate/captcha-gate v0.0.0
	github.com/dchest/captcha v1.1.0
	github.com/golang/freetype v0.0.0-20170609003504-e2365dfdc4a0
	github.com/mojocn/base64Captcha v1.3.8
	github.com/steambap/captcha v1.4.1
	github.com/wenlng/go-captcha/v2 v2.0.4
	golang.org/x/crypto v0.58.0
	golang.org/x/image v0.47.0
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da
	golang.org/x/sys v0.49.0
)

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dgraph-io/ristretto/v2 v2.4.2 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/captcha-gate/captcha-gate => ../
