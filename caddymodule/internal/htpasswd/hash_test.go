package htpasswd

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestEveryKnownHashSignsIn(t *testing.T) {
	for name, hash := range understood {
		t.Run(name, func(t *testing.T) {
			table, problems := parseText("bob:" + hash)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if !signsIn(table, "bob", "password") {
				t.Error("right password refused")
			}
			wrong := []string{"password\x00", hash}
			if hash != hashBcrypt10 && hash != hashArgon2Good { // those are slow
				wrong = append(wrong, "", "Password", "password ", " password", "passwor", "passwordd", "password\n",
					"password\x00password", "\x00", "bob:"+hash)
			}
			for _, wrong := range wrong {
				if signsIn(table, "bob", wrong) {
					t.Errorf("CRD-1, CRD-3: %q signs in", wrong)
				}
			}
			if signsIn(table, "Bob", "password") {
				t.Error("another name signs in")
			}
		})
	}
}

func TestCRD3_UnusableHashNeverSignsIn(t *testing.T) {
	rest := hashBcrypt4[4:]
	argon := func(old, new string) string { return strings.Replace(hashArgon2, old, new, 1) }
	rounds := func(new string) string { return strings.Replace(hashSHA512R1000, "rounds=1000", new, 1) }
	for _, test := range []struct {
		hash   string
		reason string
	}{
		{"password", reasonUnrecognised},
		{"{PLAIN}password", reasonUnrecognised},
		{"rqXexS6ZhobKA", reasonUnrecognised}, // DES crypt
		{"_J9..rasmBYk8r9AiWNc", reasonUnrecognised},
		{"$1$abc$BXBqpb9BZcZhXLgbee.0s/", reasonUnrecognised},
		{"$y$j9T$abc$def", reasonUnrecognised},
		{"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", reasonUnrecognised},
		{"$2$" + rest, reasonUnrecognised},
		{"$2x$" + rest, reasonUnrecognised},
		{"$2z$" + rest, reasonUnrecognised},
		{"$2Y$" + rest, reasonUnrecognised},
		{"{sha}" + hashSHA[5:], reasonUnrecognised},
		{"*" + hashBcrypt4, reasonUnrecognised},
		{"*", reasonUnrecognised},
		{"x", reasonUnrecognised},
		{"$", reasonUnrecognised},
		{"é", reasonUnrecognised},

		// Text after or inside the hash.
		{hashBcrypt4 + " ", reasonUnrecognised},
		{hashSHA + "\r ", reasonUnrecognised},
		{"{SHA}W6ph5Mm5Pz8GgiUL\rbPgzG37mj9g=", reasonUnrecognised},
		{hashBcrypt4 + "x", reasonMalformed},
		{hashBcrypt4[:59], reasonMalformed},
		{"$2y$", reasonMalformed}, {"$2y$1", reasonMalformed}, {"$2y$10", reasonMalformed}, {"$2y$10$", reasonMalformed},
		{"$2y$10x" + hashBcrypt4[7:], reasonMalformed},
		{"$2y$+9" + hashBcrypt4[6:], reasonMalformed},
		{"$2y$4$" + hashBcrypt4[6:], reasonMalformed},
		{hashBcrypt4[:30] + "*" + hashBcrypt4[31:], reasonMalformed},

		// CRD-4: what would take too long.
		{"$2y$31" + hashBcrypt4[6:], reasonCost}, {"$2y$15" + hashBcrypt4[6:], reasonCost},
		{"$2y$03" + hashBcrypt4[6:], reasonCost}, {"$2y$00" + hashBcrypt4[6:], reasonCost},
		{rounds("rounds=999999999"), reasonCost}, {rounds("rounds=1000001"), reasonCost},
		{rounds("rounds=999"), reasonCost}, {rounds("rounds=1"), reasonCost},
		{argon("m=256", "m=4194304"), reasonCost}, {argon("m=256", "m=262145"), reasonCost},
		{argon("t=2", "t=17"), reasonCost}, {argon("p=1", "p=17"), reasonCost},
		{argon("m=256,t=2", "m=262144,t=5"), reasonCost},

		// On most of the following the library panics when it is asked, for their rounds.
		{rounds("rounds=abc"), reasonMalformed}, {rounds("rounds="), reasonMalformed},
		{rounds("rounds=99999999999999999999"), reasonMalformed},
		{rounds("rounds=" + strings.Repeat("0", 200) + "1000"), reasonMalformed},
		{"$5$rounds=5000$" + strings.Repeat("x", 43), reasonMalformed},
		{rounds("rounds=-1000"), reasonMalformed}, {rounds("rounds=+1000"), reasonMalformed},
		{rounds("rounds=1000 "), reasonUnrecognised},
		{rounds("rounds=0"), reasonMalformed},
		{rounds("Rounds=1000"), reasonMalformed},

		{"$5$", reasonMalformed}, {"$5$salt", reasonMalformed}, {"$5$$", reasonMalformed},
		{"$5$abcdefghijklmnopq$" + strings.Repeat("x", 43), reasonMalformed}, // salt of 17
		{"$5$abc$" + strings.Repeat("x", 42), reasonMalformed}, {"$5$abc$" + strings.Repeat("x", 44), reasonMalformed},
		{"$6$abc$" + strings.Repeat("x", 43), reasonMalformed},
		{"$6$abc$d$" + strings.Repeat("x", 86), reasonMalformed},
		{"$5$rounds=1000$" + strings.Repeat("x", 43), reasonMalformed},
		{"$apr1$", reasonMalformed}, {"$apr1$salt", reasonMalformed}, {"$apr1$salt$", reasonMalformed},
		{"$apr1$123456789$tOxtdM7HRolms1OSINbEI1", reasonMalformed},
		{hashAPR1 + "x", reasonMalformed}, {hashAPR1[:len(hashAPR1)-1] + "=", reasonMalformed},
		{"{SHA}", reasonMalformed}, {hashSHA[:len(hashSHA)-1], reasonMalformed}, {hashSHA + "=", reasonMalformed},
		{"{SHA}" + hashSSHA[6:], reasonMalformed}, {"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9h=", reasonMalformed},
		{"{SSHA}", reasonMalformed}, {"{SSHA}c2hvcnQ=", reasonMalformed}, {"{SSHA}" + strings.Repeat("A", 114) + "==", reasonMalformed},

		{"$argon2id$", reasonMalformed},
		{argon("v=19", "v=16"), reasonMalformed}, {argon("v=19$", ""), reasonMalformed},
		{argon("m=256,t=2,p=1", "t=2,m=256,p=1"), reasonMalformed}, {argon("m=256,t=2,p=1", "m=256,t=2"), reasonMalformed},
		{argon("m=256,t=2,p=1", "m=256,t=2,p=1,keyid=Zm9v"), reasonMalformed},
		{argon("t=2", "t=0"), reasonMalformed}, {argon("p=1", "p=0"), reasonMalformed}, {argon("m=256", "m=0"), reasonMalformed},
		{argon("m=256", "m=+256"), reasonMalformed}, {argon("m=256", "m=0256"), reasonMalformed}, {argon("m=256", "m="), reasonMalformed},
		{argon("m=256", "m=7"), reasonMalformed}, {argon("m=256,t=2,p=1", "m=127,t=2,p=16"), reasonMalformed},
		{argon("m=256", "256"), reasonMalformed},
		{argon("c29tZXNhbHQ", "c29tZXNhbH"), reasonMalformed}, {argon("c29tZXNhbHQ", "c29tZXNhbHQ="), reasonMalformed},
		{argon("c29tZXNhbHQ", "c29tc2FsdA"), reasonMalformed}, {argon("c29tZXNhbHQ", strings.Repeat("AAAA", 22)), reasonMalformed},
		{hashArgon2[:len(hashArgon2)-1], reasonMalformed}, {hashArgon2 + "$x", reasonMalformed},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" + strings.Repeat("AAAA", 5), reasonMalformed},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" + strings.Repeat("AAAA", 22), reasonMalformed},
	} {
		if strings.Contains(test.hash, ":") {
			t.Fatalf("%s: a colon ends the hash", test.hash)
		}
		table, problems := parseText("bob:" + test.hash)
		if len(problems) != 1 || problems[0] != (Problem{1, test.reason}) {
			t.Errorf("%s: %v, want %s", test.hash, problems, test.reason)
		}
		if table.Len() != 0 {
			t.Errorf("%s: can sign in", test.hash)
		}
		for _, password := range []string{"password", test.hash, "bob:" + test.hash, ""} {
			if signsIn(table, "bob", password) {
				t.Errorf("%s: signs in with %q", test.hash, password)
			}
		}
	}
}

// Limits that are still within: classify only, since computing them is dear.
func TestCRD4_LimitsThemselvesAreAllowed(t *testing.T) {
	for _, hash := range []string{
		"$2y$14" + hashBcrypt4[6:],
		strings.Replace(hashSHA512R1000, "1000", "1000000", 1),
		"$5$rounds=5000$rounds=1$" + strings.Repeat("x", 43), // a salt that looks like rounds
		"$5$$" + strings.Repeat("x", 43),
		"$apr1$$" + strings.Repeat("x", 22),
		"{SSHA}" + strings.Repeat("A", 112),
		strings.Replace(hashArgon2, "m=256,t=2,p=1", "m=262144,t=4,p=16", 1),
		strings.Replace(hashArgon2, "m=256,t=2,p=1", "m=65536,t=16,p=4", 1),
		strings.Replace(hashArgon2, "m=256,t=2,p=1", "m=128,t=1,p=16", 1),
		"$argon2id$v=19$m=256,t=2,p=1$" + strings.Repeat("AAAA", 21) + "AA$" + strings.Repeat("AAAA", 21) + "AA",
	} {
		if _, reason := classify(hash); reason != "" {
			t.Errorf("%s: %s", hash, reason)
		}
	}
}

func TestCRD1_PasswordIsComparedWhole(t *testing.T) {
	long := strings.Repeat("0123456789", 8)
	of := func(password string) *Table {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), 4)
		if err != nil {
			t.Fatal(err)
		}
		table, _ := parseText("bob:" + string(hash) + "\nann:" + hashSHA + "\nmax:" + hashSHA256R1000)
		return table
	}
	table := of(long[:72])
	if !signsIn(table, "bob", long[:72]) {
		t.Error("72 bytes are refused")
	}
	for _, password := range []string{long[:73], long, long[:71], long[:72] + "\x00", strings.Repeat(long, 100)} {
		if signsIn(table, "bob", password) {
			t.Errorf("%d bytes sign in where 72 are right", len(password))
		}
	}
	secret := of("secret")
	for _, password := range []string{"secret\x00secret", "secret\x00", "\x00secret", "secre", "SECRET", " secret", "secret ", "secret\r\n"} {
		if signsIn(secret, "bob", password) {
			t.Errorf("%q signs in for secret", password)
		}
	}
	none, _ := parseText("bob:" + hashEmpty)
	if !signsIn(none, "bob", "") || signsIn(none, "bob", "\x00") {
		t.Error("the empty password is not a NUL")
	}
	for _, password := range []string{" x ", "pässwörd", "\xff\xfe", "a\tb", "\u212b"} {
		if !signsIn(of(password), "bob", password) {
			t.Errorf("%q is not taken as typed", password)
		}
	}
	if signsIn(of("\u212b"), "bob", "\u00c5") {
		t.Error("passwords are normalised")
	}
}

func TestPasswordsAreBounded(t *testing.T) {
	// {SHA} of 512 and of 513 letters a, by another program.
	table, problems := parseText("just:{SHA}FkVX+stzkph1Foweksrwm7YGRWQ=\nover:{SHA}h+zXIz2+nXVDqaGZ/GcakORphz0=")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if !signsIn(table, "just", strings.Repeat("a", 512)) {
		t.Error("512 bytes are refused")
	}
	if signsIn(table, "over", strings.Repeat("a", 513)) || signsIn(table, "just", strings.Repeat("a", 513)) {
		t.Error("513 bytes sign in")
	}
}
