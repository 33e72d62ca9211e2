package captcha

import "testing"

func TestClaimsTellWhatTheyAreBoundTo(t *testing.T) {
	m, err := New(Options{Secrets: [][]byte{make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	bound := Binding{Browser: [16]byte{1}, Network: "192.0.2.0/24"}
	c, err := m.Issue(Spec{Kind: Image}, Scope{Purpose: "login", Binding: bound})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := m.Unpack(c.Token)
	if err != nil || !claims.BoundTo(bound) {
		t.Errorf("not bound to %v, error %v", bound, err)
	}
	for _, other := range []Binding{{}, {Browser: [16]byte{1}}, {Network: "192.0.2.0/24"}, {Browser: [16]byte{2}, Network: "192.0.2.0/24"}} {
		if claims.BoundTo(other) {
			t.Errorf("bound to %v", other)
		}
	}
}
