package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func TestAWrongConfigurationIsRefusedWithTheReason(t *testing.T) {
	users := usersFile(t, "anna")
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "sign-in.html"), []byte("{{.Nope"), 0o600); err != nil {
		t.Fatal(err)
	}
	negative, number, many := caddy.Duration(-time.Second), -1, 501
	for name, c := range map[string]struct {
		change func(*Gate)
		want   []string
	}{
		"no users":                 {func(g *Gate) { g.Users = "" }, []string{"users"}},
		"users and human_only":     {func(g *Gate) { g.HumanOnly = true }, []string{"users", "human_only"}},
		"USR-7 users file missing": {func(g *Gate) { g.Users = "/nonexistent/users" }, []string{"users", "/nonexistent/users"}},
		"users file is a folder":   {func(g *Gate) { g.Users = broken }, []string{"users", broken}},
		"unset variable":           {func(g *Gate) { g.Users = "{env.GATE_TEST_UNSET}" }, []string{"users", "env.GATE_TEST_UNSET"}},
		"secret from unset":        {func(g *Gate) { g.Secret = []Secret{"{env.GATE_TEST_UNSET}"} }, []string{"secret", "env.GATE_TEST_UNSET"}},
		"short secret":             {func(g *Gate) { g.Secret = []Secret{gateSecret, "hunter2"} }, []string{"secret", "value 2", "32"}},
		"realm with a space":       {func(g *Gate) { g.Realm = "a b" }, []string{"realm", "a b"}},
		"realm too long":           {func(g *Gate) { g.Realm = strings.Repeat("a", 65) }, []string{"realm", "64"}},
		"realm with a path":        {func(g *Gate) { g.Realm = "../x" }, []string{"realm"}},
		"login is logout":          {func(g *Gate) { g.Logout = "/login" }, []string{"logout", "/login", "login path"}},
		"login twice":              {func(g *Gate) { g.Login = []string{"/a", "/a"} }, []string{"login", "/a"}},
		"login inside base_path":   {func(g *Gate) { g.Login = []string{"/captcha-gate/login"} }, []string{"login", "base_path"}},
		"login without slash":      {func(g *Gate) { g.Login = []string{"login"} }, []string{"login", `"login"`}},
		"login with dots":          {func(g *Gate) { g.Login = []string{"/a/../b"} }, []string{"login", "/a/../b"}},
		"base_path is the site":    {func(g *Gate) { g.BasePath = "/" }, []string{"base_path"}},
		"base_path ends in slash":  {func(g *Gate) { g.BasePath = "/gate/" }, []string{"base_path", "/gate/"}},
		"landing elsewhere":        {func(g *Gate) { g.Landing = "https://evil.example/" }, []string{"landing"}},
		"landing is the gate":      {func(g *Gate) { g.Landing = "/login?x=1" }, []string{"landing", "own paths"}},
		"captcha length":           {func(g *Gate) { g.Captcha = &CaptchaConfig{Length: 9} }, []string{"captcha", "length"}},
		"captcha alphabet":         {func(g *Gate) { g.Captcha = &CaptchaConfig{Alphabet: "ABC0O"} }, []string{"captcha", "alphabet"}},
		"captcha size":             {func(g *Gate) { g.Captcha = &CaptchaConfig{Width: 6000, Height: 80} }, []string{"captcha", "width"}},
		"captcha width":            {func(g *Gate) { g.Captcha = &CaptchaConfig{Width: 119} }, []string{"captcha", "width", "120"}},
		"captcha width for eight":  {func(g *Gate) { g.Captcha = &CaptchaConfig{Width: 191, Length: 8} }, []string{"captcha", "width", "192"}},
		"captcha height":           {func(g *Gate) { g.Captcha = &CaptchaConfig{Height: 39} }, []string{"captcha", "height", "40"}},
		"captcha lifetime":         {func(g *Gate) { g.Captcha = &CaptchaConfig{Lifetime: caddy.Duration(time.Hour + 1)} }, []string{"captcha", "lifetime", "1h"}},
		"captcha noise lines":      {func(g *Gate) { g.Captcha = &CaptchaConfig{Noise: &NoiseConfig{Lines: &many}} }, []string{"noise lines", "50"}},
		"captcha noise dots":       {func(g *Gate) { g.Captcha = &CaptchaConfig{Noise: &NoiseConfig{Dots: &many}} }, []string{"noise dots", "500"}},
		"captcha noise arcs":       {func(g *Gate) { g.Captcha = &CaptchaConfig{Noise: &NoiseConfig{Arcs: &many}} }, []string{"noise arcs", "50"}},
		"captcha bind":             {func(g *Gate) { g.Captcha = &CaptchaConfig{Bind: "country"} }, []string{"bind", "country"}},
		"captcha level":            {func(g *Gate) { g.Captcha = &CaptchaConfig{Level: "medium"} }, []string{"captcha", "level", "medium"}},
		"captcha work":             {func(g *Gate) { g.Captcha = &CaptchaConfig{Work: beside(time.Hour)} }, []string{"captcha work", "2m"}},
		"captcha work_alone":       {func(g *Gate) { g.Captcha = &CaptchaConfig{WorkAlone: &negative} }, []string{"captcha work_alone", "100ms"}},
		"captcha noise colour":     {func(g *Gate) { g.Captcha = &CaptchaConfig{Noise: &NoiseConfig{Colour: "red"}} }, []string{"noise colour", "red"}},
		"login needs an escape":    {func(g *Gate) { g.Login = []string{"/sign in"} }, []string{"login", "/sign in"}},
		"login needs encoding":     {func(g *Gate) { g.Login = []string{"/größe"} }, []string{"login", "größe"}},
		"base_path with a quote":   {func(g *Gate) { g.BasePath = `/a"b` }, []string{"base_path"}},
		"captcha noise":            {func(g *Gate) { g.Captcha = &CaptchaConfig{Noise: &NoiseConfig{Dots: &number}} }, []string{"noise"}},
		"session lifetime":         {func(g *Gate) { g.Session = &SessionConfig{Lifetime: negative} }, []string{"lifetime"}},
		"session idle":             {func(g *Gate) { g.Session = &SessionConfig{Idle: &negative} }, []string{"idle"}},
		"session remember":         {func(g *Gate) { g.Session = &SessionConfig{Remember: &negative} }, []string{"remember"}},
		"cookie name":              {func(g *Gate) { g.Session = &SessionConfig{CookieName: "a b"} }, []string{"cookie_name", "a b"}},
		"cookie name with prefix":  {func(g *Gate) { g.Session = &SessionConfig{CookieName: "__Host-x"} }, []string{"cookie_name"}},
		"cookie domain":            {func(g *Gate) { g.Session = &SessionConfig{CookieDomain: "a b"} }, []string{"cookie_domain", "a b"}},
		"throttle number":          {func(g *Gate) { g.Throttle = &ThrottleConfig{Client: &LimitConfig{Window: caddy.Duration(time.Minute)}} }, []string{"throttle client"}},
		"throttle window":          {func(g *Gate) { g.Throttle = &ThrottleConfig{User: &LimitConfig{Events: 1}} }, []string{"throttle user"}},
		"throttle hashing":         {func(g *Gate) { g.Throttle = &ThrottleConfig{Hashing: -1} }, []string{"hashing"}},
		"state":                    {func(g *Gate) { g.State = &StateConfig{Store: "disk"} }, []string{"state", "disk"}},
		"captcha when":             {func(g *Gate) { g.Captcha = &CaptchaConfig{When: "never"} }, []string{"captcha when", "never"}},
		"captcha when human only":  {func(g *Gate) { g.Users, g.HumanOnly, g.Captcha = "", true, &CaptchaConfig{When: "suspicious"} }, []string{"captcha when", "human_only"}},
		"state redis without url":  {func(g *Gate) { g.State = &StateConfig{Store: "redis"} }, []string{"state redis", "url"}},
		"state redis with file": {func(g *Gate) {
			g.State = &StateConfig{Store: "redis", File: "x", Redis: &RedisConfig{URL: "redis://localhost"}}
		}, []string{"state redis", "file"}},
		"state redis address": {func(g *Gate) {
			g.State = &StateConfig{Store: "redis", Redis: &RedisConfig{URL: "redis://localhost", Addresses: []string{"other"}}}
		}, []string{"state redis", "other"}},
		"state local with redis":   {func(g *Gate) { g.State = &StateConfig{Store: "local", Redis: &RedisConfig{URL: "redis://localhost"}} }, []string{"state local", "redis"}},
		"state memory with file":   {func(g *Gate) { g.State = &StateConfig{Store: "memory", File: "x"} }, []string{"state memory"}},
		"state file is a folder":   {func(g *Gate) { g.State = &StateConfig{File: broken} }, []string{"state", broken}},
		"identity header":          {func(g *Gate) { g.Identity = &IdentityConfig{User: "Remote User"} }, []string{"identity user", "Remote User"}},
		"identity steals a header": {func(g *Gate) { g.Identity = &IdentityConfig{User: "cookie"} }, []string{"identity user", "Cookie"}},
		"identity twice the same":  {func(g *Gate) { g.Identity = &IdentityConfig{User: "X-A", Email: "x_a"} }, []string{"identity"}},
		"accounts human only":      {func(g *Gate) { g.Users, g.HumanOnly, g.Accounts = "", true, &AccountsConfig{SignUp: true} }, []string{"accounts", "human_only"}},
		"codes human only": {func(g *Gate) {
			g.Users, g.HumanOnly, g.SecondStep = "", true, &SecondStepConfig{Channel: channelSMS}
		}, []string{"second_step", "human_only"}},
		"sign_up_limit": {func(g *Gate) {
			g.Accounts = &AccountsConfig{SignUp: true, SignUpLimit: &SignUpLimitConfig{PerClient: -1, Users: 1}}
		}, []string{"sign_up_limit", "at least 1"}},
		"second_step channel": {func(g *Gate) { g.SecondStep = &SecondStepConfig{Channel: "pigeon"} }, []string{"second_step", "pigeon"}},
		"second_step resend": {func(g *Gate) {
			g.SecondStep = &SecondStepConfig{Resend: caddy.Duration(time.Millisecond)}
		}, []string{"second_step resend", "1s"}},
		"second_step attempts": {func(g *Gate) {
			g.SecondStep = &SecondStepConfig{Attempts: 100}
		}, []string{"second_step attempts", "100"}},
		"second_step no senders": {func(g *Gate) { g.SecondStep = &SecondStepConfig{Channel: channelSMS} }, []string{"second_step", "sender smtp"}},
		"second_step lifetime": {func(g *Gate) {
			g.SecondStep = &SecondStepConfig{Lifetime: caddy.Duration(29 * time.Second)}
		}, []string{"second_step lifetime", "30s"}},
		"password_min":         {func(g *Gate) { g.Accounts = &AccountsConfig{PasswordMin: 65} }, []string{"password_min", "64"}},
		"page logo":            {func(g *Gate) { g.Page = &PageConfig{Logo: "/nonexistent.png"} }, []string{"page", "/nonexistent.png"}},
		"page language":        {func(g *Gate) { g.Page = &PageConfig{Languages: []string{"tlh"}} }, []string{"page", "tlh"}},
		"page template broken": {func(g *Gate) { g.Page = &PageConfig{Templates: broken} }, []string{"page", "sign-in.html"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := Gate{Users: users, Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory}}
			c.change(&config)
			_, err := load(t, config)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			for _, secret := range []string{gateSecret, "hunter2"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the secret is in %q", err)
				}
			}
		})
	}
}

func TestARefusedConfigurationLeavesTheRunningOnesStateAlone(t *testing.T) {
	g := memoryGate(t, "anna")
	_, cookies := signInAs(t, g, "anna", "anna-password")
	bad := Gate{Users: "/nonexistent", Secret: []Secret{gateSecret}, Realm: g.Realm, State: &StateConfig{Store: storeMemory}}
	for range 3 {
		if _, err := load(t, bad); err == nil {
			t.Fatal("accepted")
		}
	}
	if references, exists := stores.References(g.storeKey); !exists || references != 1 {
		t.Fatalf("the store is held %d times, exists: %v", references, exists)
	}
	if _, app := serve(t, g, withCookies(request("GET", "/"), cookies)); app == nil {
		t.Error("the session is gone")
	}
}

func TestAReloadFindsTheSameState(t *testing.T) {
	old := memoryGate(t, "anna")
	_, cookies := signInAs(t, old, "anna", "anna-password")
	next, err := load(t, Gate{
		Users: old.Users, Secret: []Secret{gateSecret}, Realm: old.Realm,
		State: &StateConfig{Store: storeMemory}, Landing: "/changed",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if _, app := serve(t, next, withCookies(request("GET", "/"), cookies)); app == nil {
		t.Error("the session is gone")
	}
}
