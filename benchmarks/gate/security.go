package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The realm and the key of caddy-security's tokens.
const (
	portalRealm = "local"
	portalKey   = "benchmark-key-0123456789abcdef0123"
)

// security is caddy-security as its documentation shows it: a portal with a local
// identity store, and a policy that lets its users pass.
func security(c config, dir, proxy string) (global, handlers string, err error) {
	file := filepath.Join(dir, "users.json")
	if err := writeIdentities(file, c.users); err != nil {
		return "", "", err
	}
	global = fmt.Sprintf(`order authenticate before respond
security {
	local identity store localdb {
		realm %s
		path %s
	}
	authentication portal portal {
		crypto default token lifetime 86400
		crypto key sign-verify %s
		enable identity store localdb
	}
	authorization policy policy {
		set auth url /auth/
		crypto key verify %[3]s
		allow roles authp/user
	}
}
`, portalRealm, file, portalKey)
	return global, "route /auth* {\nauthenticate with portal\n}\nroute {\nauthorize with policy\n" + proxy + "}\n", nil
}

// writeIdentities writes the users as caddy-security's local store keeps them.
func writeIdentities(file string, count int) error {
	type object = map[string]any
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	users := make([]object, 0, count)
	for i, a := range accounts(count) {
		roles := []object{{"name": "user", "organization": "authp"}}
		if i == 0 { // without an administrator it would make one, and write the file anew
			roles = append(roles, object{"name": "admin", "organization": "authp"})
		}
		users = append(users, object{
			"id": fmt.Sprintf("00000000-0000-4000-8000-%012d", i), "username": a.name, "created": made, "last_modified": made,
			"email_addresses": []object{{"address": a.name + "@example.com", "domain": "example.com"}},
			"passwords":       []object{{"purpose": "generic", "algorithm": "bcrypt", "hash": a.hash, "cost": cost, "created_at": made}},
			"roles":           roles,
		})
	}
	text, err := json.Marshal(object{
		"version": "1.1.41", "revision": 1, "last_modified": made, "users": users,
		"policy": object{
			"password": object{"keep_versions": 10, "min_length": 8, "max_length": 128},
			"user":     object{"min_length": 3, "max_length": 50},
		},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// portalReply is what the portal's JSON interface answers.
type portalReply struct {
	SandboxID       string `json:"sandbox_id"`
	SandboxSecret   string `json:"sandbox_secret"`
	NextChallenge   string `json:"next_challenge"`
	AccessToken     string `json:"access_token"`
	AccessTokenName string `json:"access_token_name"`
}

// portalSignIn names the user, then gives the password, and returns the reply to
// that with its status.
func portalSignIn(v *visitor, user, password string) (portalReply, int, error) {
	var reply portalReply
	fields := map[string]string{"username": user, "realm": portalRealm}
	for {
		body, err := json.Marshal(fields)
		if err != nil {
			return reply, 0, err
		}
		a, err := v.send("POST", "/auth/login", string(body), "Content-Type: application/json", acceptJSON)
		if err != nil || a.status != 200 {
			return reply, a.status, err
		}
		reply = portalReply{}
		if err := json.Unmarshal(a.body, &reply); err != nil {
			return reply, a.status, fmt.Errorf("%.200s: %w", a.body, err)
		}
		if fields["challenge_response"] != "" || reply.NextChallenge != "password" {
			return reply, a.status, nil
		}
		fields["sandbox_id"], fields["sandbox_secret"] = reply.SandboxID, reply.SandboxSecret
		fields["challenge_kind"], fields["challenge_response"] = reply.NextChallenge, password
	}
}
