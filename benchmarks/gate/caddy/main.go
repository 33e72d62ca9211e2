// Command caddy is the Caddy that all sides of benchmarks/gate run: one program
// with every gate in it, so that they differ in nothing but the configuration.
// It is a module of its own, because caddy-security brings many dependencies.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/greenpau/caddy-security"

	_ "github.com/captcha-gate/captcha-gate/caddymodule"
)

func main() {
	caddycmd.Main()
}
