package htpasswd

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// watched is a table that writes down every hash it computes.
func watched(t *testing.T, table *Table, computed *[]kind) *Table {
	w := *table
	w.observe = func(k kind, bytes int) {
		if bytes > 512 {
			t.Errorf("hashes %d bytes: a client could make the server work for ever", bytes)
		}
		*computed = append(*computed, k)
	}
	return &w
}

const mixedFile = "ann:" + hashBcrypt4 + "\nbob:$2a$05" + "$Ad456RGvBdNe.4tyyMpU9uktWp5iyYOAi0wQXlwrJznQHxxDBq1W2" +
	"\ncat:" + hashAPR1 + "\ndan:" + hashArgon2 + "\neve:" + hashSHA256R1000 + "\nfay:" + hashSHA512R1000 +
	"\ngus:" + hashSSHA + "\nhal:" + hashSHA + "\nida:" + hashAPR1Short + "\njim:" + hashSHA256R1000 +
	"\nshut:plain\nkim:$2b$04" + "$Ad456RGvBdNe.4tyyMpU9uktWp5iyYOAi0wQXlwrJznQHxxDBq1W2\n"

func TestCRD6_EveryVerdictTakesTheSameWork(t *testing.T) {
	mixed := []kind{
		{scheme: schemeBcrypt, cost: 4}, {scheme: schemeBcrypt, cost: 5}, {scheme: schemeAPR1},
		{scheme: schemeArgon2id, cost: 2, memory: 256, lanes: 1}, {scheme: schemeSHA256Crypt, cost: 1000},
		{scheme: schemeSHA512Crypt, cost: 1000}, {scheme: schemeSSHA}, {scheme: schemeSHA},
	}
	floor := []kind{{scheme: schemeBcrypt, cost: 10}}
	for _, test := range []struct {
		name string
		text string
		want []kind
	}{
		{"mixed", mixedFile, mixed},
		{"empty", "", floor},
		{"nobody can sign in", "shut:plain\nann:$2y$31" + hashBcrypt4[6:], floor},
		{"one cheap kind", "ann:" + hashSHA, []kind{{scheme: schemeSHA}}},
		{"rounds written out are the same kind", "ann:" + hashSHA256 + "\nbob:" +
			strings.Replace(hashSHA256R1000, "1000", "5000", 1), []kind{{scheme: schemeSHA256Crypt, cost: 5000}}},
		{"hidden and unusable lines add nothing", "ann:" + hashSHA + "\nann:" + hashBcrypt10 + "\nbob:$2y$15" + hashBcrypt4[6:],
			[]kind{{scheme: schemeSHA}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, _ := parse([]byte(test.text), [32]byte{1})
			check := func(name, password string) {
				var computed []kind
				watched(t, table, &computed).Verify(name, password)
				if !slices.Equal(computed, test.want) {
					t.Errorf("%q with %.10q computes %v, want %v", name, password, computed, test.want)
				}
			}
			check("nobody", "password")
			check("", "")
			check("shut", "plain")
			if table.Len() == 0 { // each of these is a bcrypt of cost 10
				return
			}
			for _, refused := range []string{"wrong", "nul\x00nul", strings.Repeat("x", 73), strings.Repeat("x", 5000)} {
				check("ann", refused)
			}
			for name := range table.entries {
				check(name, "password")
			}
		})
	}
}

func TestMixedFileKnowsItsUsers(t *testing.T) {
	table, problems := parseText(mixedFile)
	if !slices.Equal(problems, []Problem{{11, reasonUnrecognised}}) {
		t.Fatal(problems)
	}
	for _, name := range strings.Fields("ann cat dan eve fay gus hal ida jim kim") {
		if !signsIn(table, name, "password") || signsIn(table, name, "wrong") {
			t.Errorf("wrong verdict for %s", name)
		}
	}
	if signsIn(table, "bob", "password") { // its digest is that of another cost
		t.Error("bob signs in")
	}
}

// A dummy that its algorithm rejects at once would make unknown users quick.
func TestCRD6_DummiesAreComputedLikeRealHashes(t *testing.T) {
	for name, hash := range understood {
		table, _ := parse([]byte("ann:"+hash), [32]byte{7})
		other, _ := parse([]byte("ann:"+hash), [32]byte{8})
		w := table.work[0]
		if k, reason := classify(w.dummy); reason != "" || k != w.kind {
			t.Errorf("%s: dummy is %v, %s", name, k, reason)
		}
		if w.dummy == other.work[0].dummy || w.dummy == hash {
			t.Errorf("%s: dummy is not random", name)
		}
		if w.kind.matches(w.dummy, "password") {
			t.Errorf("%s: dummy matches", name)
		}
		if w.kind.scheme == schemeBcrypt {
			if err := bcrypt.CompareHashAndPassword([]byte(w.dummy), nil); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
				t.Errorf("%s: bcrypt says %v", name, err)
			}
		}
	}
}

// Even a password that fits a dummy signs nobody in.
func TestCRD6_DummySignsNobodyIn(t *testing.T) {
	table, _ := parseText("ann:" + hashSHA + "\nbob:" + hashAPR1 + "\nshut:x")
	table.work[0].dummy = "{SHA}gpw4BEAbByf3D3PUQV4WJADL5Xs=" // of "dummy"
	if !table.work[0].kind.matches(table.work[0].dummy, "dummy") {
		t.Fatal("the test's own hash is wrong")
	}
	for _, name := range []string{"ann", "bob", "shut", "nobody", ""} {
		if signsIn(table, name, "dummy") {
			t.Errorf("%q signs in with a dummy's password", name)
		}
	}
}

func TestUnknownKindMatchesNothing(t *testing.T) {
	var none kind
	if none.matches(hashSHA, "password") || none.dummy(nil) != "" {
		t.Error("a kind without scheme does something")
	}
	// matches trusts classify; what slipped past it must still match nothing and not panic.
	for _, s := range []scheme{schemeBcrypt, schemeArgon2id, schemeSHA256Crypt, schemeSHA512Crypt, schemeAPR1, schemeSSHA, schemeSHA} {
		hash := strings.Repeat("{", 20)
		if (kind{scheme: s}).matches(hash, "password") {
			t.Errorf("scheme %d matches nonsense", s)
		}
	}
}

func TestCRD7_ParallelVerdictsDoNotMix(t *testing.T) {
	var file bytes.Buffer
	passwords := map[string]string{}
	for _, name := range strings.Fields("ann bob cat dan") {
		passwords[name] = "of " + name
		hash, err := bcrypt.GenerateFromPassword([]byte(passwords[name]), 4)
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(name + ":" + string(hash) + "\n")
	}
	table, _ := Parse(file.Bytes())
	var group sync.WaitGroup
	for name := range passwords {
		for whose, password := range passwords {
			group.Go(func() {
				for range 5 {
					if signsIn(table, name, password) != (name == whose) {
						t.Errorf("%s with the password of %s: wrong verdict", name, whose)
					}
				}
			})
		}
	}
	group.Wait()
}
