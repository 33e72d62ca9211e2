// Command caddy is a standard Caddy with Captcha Gate built in. It exists for
// the demo and the tests; operators build their own with xcaddy (see
// xcaddy.md).
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/captcha-gate/captcha-gate/caddymodule"
)

func main() {
	caddycmd.Main()
}
