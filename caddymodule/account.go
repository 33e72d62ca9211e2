package caddymodule

func (g *Gate) changesPasswords() bool { return false }
