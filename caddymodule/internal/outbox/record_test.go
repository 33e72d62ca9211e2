package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

var (
	testID    = messageID{1, 2, 3, 15: 16}
	testKey   = state.KeyOf(testRealm, "outbox message", testID[:])
	otherKey  = state.KeyOf(testRealm, "outbox message", []byte("another"))
	indexKey  = state.KeyOf(testRealm, "outbox")
	testStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func testRecord() record {
	return record{
		phase: waiting, failed: true, tries: 2, wait: 3 * time.Second, expires: time.UnixMilli(testStart.UnixMilli()),
		channel: "sms", sealed: "sealed",
	}
}

// shows reports whether a text has anything of a message that must not be seen.
func shows(text string, m Message) bool {
	return slices.ContainsFunc([]string{m.To, m.Subject, m.Text, m.Code}, func(s string) bool { return s != "" && strings.Contains(text, s) })
}

func TestRecordsSurviveTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record{
			phase: phase(rapid.IntRange(int(waiting), int(orphaned)).Draw(t, "phase")), failed: rapid.Bool().Draw(t, "failed"),
			tries: rapid.Uint16().Draw(t, "tries"), wait: time.Duration(rapid.Uint32().Draw(t, "wait")) * time.Millisecond,
			expires: time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "expires")),
			channel: rapid.String().Draw(t, "channel"), sealed: rapid.StringN(1, 100, -1).Draw(t, "sealed"),
		}
		if rapid.Bool().Draw(t, "ended") {
			r = r.ended(phase(rapid.IntRange(int(sent), int(expired)).Draw(t, "phase")))
		}
		realm := rapid.StringN(0, 64, 300).Draw(t, "realm")
		if got, err := decode(r.encode(testKey, realm), testKey, realm); err != nil || got != r {
			t.Fatalf("%+v, %v; want %+v", got, err, r)
		}
	})
}

func TestWhatAnOutcomeMayReplace(t *testing.T) {
	for _, c := range []struct {
		outcome, there    phase
		sameTry, otherTry bool
	}{
		{sent, orphaned, true, true},
		{sent, sending, true, true},
		{sent, waiting, true, true},
		{sent, canceled, true, true},
		{sent, expired, true, true},
		{sent, sent, false, false},
		{waiting, orphaned, true, false},
		{waiting, sending, false, false},
		{waiting, canceled, false, false},
		{waiting, sent, false, false},
		{refused, orphaned, true, false},
		{expired, canceled, false, false},
	} {
		r := record{phase: c.outcome}
		if same, other := r.replaces(record{phase: c.there, tries: 2}, 2), r.replaces(record{phase: c.there, tries: 3}, 2); same != c.sameTry ||
			other != c.otherTry {
			t.Errorf("outcome %d, there is %d: %t for its own try, %t for another", c.outcome, c.there, same, other)
		}
	}
}

func TestSES13_RecordsOfAnotherPlaceAreRefused(t *testing.T) {
	good := testRecord().encode(testKey, testRealm)
	changed := func(at int, to byte) []byte {
		b := slices.Clone(good)
		b[at] = to
		return b
	}
	unsealed := testRecord()
	unsealed.sealed = ""
	keeps := testRecord()
	keeps.phase = sent
	for _, c := range []struct {
		what  string
		key   state.Key
		realm string
		value []byte
	}{
		{"another key", otherKey, testRealm, good},
		{"another realm", testKey, "other", good},
		{"a longer realm", testKey, testRealm + "x", good},
		{"a trailing byte", testKey, testRealm, append(slices.Clone(good), 0)},
		{"nothing", testKey, testRealm, nil},
		{"empty", testKey, testRealm, []byte{}},
		{"zeros", testKey, testRealm, make([]byte, len(good))},
		{"another version", testKey, testRealm, changed(0, 2)},
		{"another type", testKey, testRealm, changed(1, 's')},
		{"an index", testKey, testRealm, changed(1, indexType)},
		{"no phase", testKey, testRealm, changed(headLength, 0)},
		{"another phase", testKey, testRealm, changed(headLength, byte(phases))},
		{"a flag that is neither", testKey, testRealm, changed(headLength+1, 2)},
		{"under way without content", testKey, testRealm, unsealed.encode(testKey, testRealm)},
		{"over and with content", testKey, testRealm, keeps.encode(testKey, testRealm)},
	} {
		if r, err := decode(c.value, c.key, c.realm); err == nil || r != (record{}) {
			t.Errorf("%s: %+v, %v", c.what, r, err)
		}
	}
	for n := range good {
		if _, err := decode(good[:n], testKey, testRealm); err == nil {
			t.Errorf("%d of %d bytes are a record", n, len(good))
		}
	}
}

func TestSES13_IndexesOfAnotherPlaceAreRefused(t *testing.T) {
	entries := []entry{{testID, testRecord().expires}, {messageID{4}, testRecord().expires}}
	good := encodeIndex(indexKey, testRealm, entries)
	if got, err := decodeIndex(good, indexKey, testRealm); err != nil || !slices.Equal(got, entries) {
		t.Fatalf("%v, %v", got, err)
	}
	changed := func(at int, to byte) []byte {
		b := slices.Clone(good)
		b[at] = to
		return b
	}
	for what, b := range map[string][]byte{
		"empty": {}, "another version": changed(0, 2), "another type": changed(1, messageType), "another key": changed(2, 0xff),
		"another realm": changed(headLength+2, 'x'), "no entries": good[:len(good)-2*entryLength], "half an entry": good[:len(good)-1],
		"more than fit":        append(slices.Clone(good), make([]byte, maxPending*entryLength)...),
		"a realm past the end": changed(headLength, 0xff),
	} {
		if got, err := decodeIndex(b, indexKey, testRealm); err == nil {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// Whoever can write to the store cannot have a message go somewhere else, under another id, or for longer.
func TestOTP7_SealedMessagesFitTheirRecordOnly(t *testing.T) {
	keys, m := testKeys(t, 'a'), message(0)
	m.Expires = time.UnixMilli(testStart.UnixMilli())
	good := testRecord()
	var err error
	if good.sealed, err = sealMessage(keys, rand.NewChaCha8([32]byte{}), testID, m); err != nil {
		t.Fatal(err)
	}
	if got, err := openMessage(keys, testID, good, testRealm); err != nil || got.To != m.To || got.Code != m.Code {
		t.Fatalf("%v, %v", got, err)
	}
	if shows(string(good.encode(testKey, testRealm)), m) {
		t.Error("the record shows what is in it")
	}
	longer, elsewhere, garbled, short := good, good, good, good
	longer.expires = longer.expires.Add(time.Millisecond)
	elsewhere.channel = "email"
	garbled.sealed = garbled.sealed[:50] + garbled.sealed[51:] + "A"
	if short.sealed, err = keys.Seal(append(slices.Clone(testID[:]), make([]byte, 5)...), rand.NewChaCha8([32]byte{})); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]record{"longer": longer, "another channel": elsewhere, "garbled": garbled, "short": short} {
		if got, err := openMessage(keys, testID, r, testRealm); err == nil || got != (Message{}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := openMessage(keys, messageID{9}, good, testRealm); err == nil {
		t.Error("opened under another id")
	}
	if _, err := openMessage(testKeys(t, 'b'), testID, good, testRealm); err == nil {
		t.Error("opened with another secret")
	}
}

func TestOTP7_MessagesPrintAsTheirID(t *testing.T) {
	m := message(time.Hour)
	m.ID = testID.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{m, &m, []Message{m}, struct{ M Message }{m}, struct{ M *Message }{&m}} {
			if printed := fmt.Sprintf(verb, value); shows(printed, m) {
				t.Errorf("%s of %T: %s", verb, value, printed)
			}
		}
	}
	asJSON, err := json.Marshal(map[string]any{"m": m, "list": []*Message{&m}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "m", m)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(&log), zap.DebugLevel)
	zap.New(core).Info("", zap.Any("m", m), zap.Any("p", &m), zap.Any("list", []Message{m}), zap.Reflect("r", m))
	for _, printed := range []string{string(asJSON), log.String(), fmt.Sprint(errors.Join(fmt.Errorf("%v", m)))} {
		if shows(printed, m) || !strings.Contains(printed, m.ID) {
			t.Error(printed)
		}
	}
}

func TestStatusesHaveNames(t *testing.T) {
	if got := fmt.Sprint(Waiting, Sent, Retrying, Refused, Canceled, Expired, Status(-1), Status(6)); got !=
		"waiting sent retrying refused canceled expired status -1 status 6" {
		t.Error(got)
	}
}

// FuzzRecord: whatever is in the store, it is refused or is exactly what encoding makes of it.
func FuzzRecord(f *testing.F) {
	f.Add(testRecord().encode(testKey, testRealm))
	f.Add(testRecord().ended(sent).encode(testKey, testRealm))
	f.Add(encodeIndex(indexKey, testRealm, []entry{{testID, testStart}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headLength {
			copy(b[2:headLength], testKey[:]) // else nothing would ever get past the key
		}
		if r, err := decode(b, testKey, testRealm); err == nil && !bytes.Equal(r.encode(testKey, testRealm), b) {
			t.Errorf("%x is read as %+v", b, r)
		}
		if entries, err := decodeIndex(b, testKey, testRealm); err == nil && !bytes.Equal(encodeIndex(testKey, testRealm, entries), b) {
			t.Errorf("%x is read as %v", b, entries)
		}
	})
}
