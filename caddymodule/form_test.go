package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

func postRequest(kind, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/login?username=query&password=query", strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	return r
}

func TestCRD10_FieldsComeFromAWellFormedBodyOnly(t *testing.T) {
	full := signInFields{username: "alice", password: " p&ss ", captcha: captchaResponse{token: "T", answer: "abc"}, returnTo: "/x", remember: true}
	long := strings.Repeat("x", 256)
	for name, c := range map[string]struct {
		kind, body string
		want       signInFields
		code       code
	}{
		"form":                       {typeForm, "username=alice&password=+p%26ss+&captcha_token=T&captcha_answer=abc&rd=%2Fx&remember=on", full, ""},
		"form with charset":          {typeForm + "; charset=UTF-8", "username=alice", signInFields{username: "alice"}, ""},
		"json":                       {typeJSON, `{"username":"alice","password":" p&ss ","captcha_token":"T","captcha_answer":"abc","rd":"/x","remember":true}`, full, ""},
		"query is not read":          {typeForm, "rd=/", signInFields{returnTo: "/"}, ""},
		"unknown fields are nothing": {typeForm, "length=1&alphabet=A&captcha_length=1", signInFields{}, ""},
		"json remember false":        {typeJSON, `{"remember":false}`, signInFields{}, ""},
		"json remember as text":      {typeJSON, `{"remember":"1"}`, signInFields{remember: true}, ""},
		"json names match exactly":   {typeJSON, `{"Username":"alice"}`, signInFields{}, ""},
		"odd rd is judged elsewhere": {typeForm, "rd=%0d%0aSet-Cookie", signInFields{returnTo: "\r\nSet-Cookie"}, ""},

		"no type":                 {"", "username=a", signInFields{}, codeUnsupportedMediaType},
		"INP-2 multipart":         {"multipart/form-data; boundary=x", "--x--", signInFields{}, codeUnsupportedMediaType},
		"CSR-4 json as text":      {"text/plain", `{"username":"alice"}`, signInFields{}, codeUnsupportedMediaType},
		"other charset":           {typeForm + "; charset=utf-7", "username=a", signInFields{}, codeUnsupportedMediaType},
		"field twice":             {typeForm, "username=a&username=a", signInFields{}, codeMalformed},
		"unknown field twice":     {typeForm, "x=a&x=b", signInFields{}, codeMalformed},
		"bad escape":              {typeForm, "username=%zz&password=ok", signInFields{}, codeMalformed},
		"semicolon":               {typeForm, "username=a;password=b", signInFields{}, codeMalformed},
		"form not utf-8":          {typeForm, "username=%ff", signInFields{}, codeMalformed},
		"control character":       {typeForm, "username=a%00", signInFields{}, codeMalformed},
		"c1 control character":    {typeForm, "username=a%c2%85", signInFields{}, codeMalformed},
		"name too long":           {typeForm, "username=" + long, signInFields{}, codeMalformed},
		"json key twice":          {typeJSON, `{"username":"a","username":"b"}`, signInFields{}, codeMalformed},
		"json key twice, escaped": {typeJSON, `{"username":"a","usern\u0061me":"b"}`, signInFields{}, codeMalformed},
		"json text after":         {typeJSON, `{"username":"a"} {}`, signInFields{}, codeMalformed},
		"json array":              {typeJSON, `["a"]`, signInFields{}, codeMalformed},
		"json null":               {typeJSON, `null`, signInFields{}, codeMalformed},
		"json null value":         {typeJSON, `{"username":null}`, signInFields{}, codeMalformed},
		"json number":             {typeJSON, `{"username":1}`, signInFields{}, codeMalformed},
		"json nested":             {typeJSON, `{"username":{"a":"b"}}`, signInFields{}, codeMalformed},
		"json not utf-8":          {typeJSON, "{\"username\":\"\xff\"}", signInFields{}, codeMalformed},
		"json lone surrogate":     {typeJSON, `{"password":"\ud800"}`, signInFields{}, codeMalformed},
		"json control character":  {typeJSON, `{"password":"a\u0000b"}`, signInFields{}, codeMalformed},
		"json empty body":         {typeJSON, ``, signInFields{}, codeMalformed},
		"INP-1 too large":         {typeForm, "x=" + strings.Repeat("y", maxBody), signInFields{}, codeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			got, code := readSignIn(httptest.NewRecorder(), postRequest(c.kind, c.body))
			got.captcha.purpose = "" // always the same
			if got != c.want || code != c.code {
				t.Errorf("got %+v, %q; want %+v, %q", got, code, c.want, c.code)
			}
		})
	}
}

func TestINP1_ABodyOfUnknownLengthIsCutOff(t *testing.T) {
	r := postRequest(typeForm, strings.Repeat("y", maxBody+1))
	r.ContentLength = -1
	if _, code := readSignIn(httptest.NewRecorder(), r); code != codeTooLarge {
		t.Errorf("got %q", code)
	}
}

func TestTwoContentTypesAreNone(t *testing.T) {
	r := postRequest(typeForm, "username=a")
	r.Header.Add("Content-Type", typeJSON)
	if _, code := readSignIn(httptest.NewRecorder(), r); code != codeUnsupportedMediaType {
		t.Errorf("got %q", code)
	}
	r = postRequest(typeForm, "username=a")
	r.Header.Set("Content-Encoding", "gzip")
	if _, code := readSignIn(httptest.NewRecorder(), r); code != codeUnsupportedMediaType {
		t.Errorf("compressed: got %q", code)
	}
}

// checkFields are the promises that hold for every body that is accepted.
func checkFields(t *testing.T, f signInFields) {
	t.Helper()
	for field, value := range map[string]string{
		"username": f.username, "password": f.password, "captcha_token": f.captcha.token, "captcha_answer": f.captcha.answer,
	} {
		if len(value) > maxField[field] || !utf8.ValidString(value) || strings.ContainsAny(value, "\x00\n\r\x7f") {
			t.Errorf("%s: %q", field, value)
		}
	}
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"username=alice&password=x&remember=on", "a=b&a=c", "username=%zz", "%", "&&=&", "rd=//evil", "username=%ff%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, code := readSignIn(httptest.NewRecorder(), postRequest(typeForm, body))
		if code == "" {
			checkFields(t, got)
		} else if got != (signInFields{}) {
			t.Errorf("%q refused with %q, yet read %+v", body, code, got)
		}
	})
}

func FuzzJSONBody(f *testing.F) {
	for _, seed := range []string{`{"username":"alice","remember":true}`, `{"a":1}`, `{"a":"b","a":"c"}`, `{"a":"\ud800"}`, `[]`, `{}`, `{"a":"b"}x`, `{"":""}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, code := readSignIn(httptest.NewRecorder(), postRequest(typeJSON, body))
		if code == "" {
			checkFields(t, got)
		} else if got != (signInFields{}) {
			t.Errorf("%q refused with %q, yet read %+v", body, code, got)
		}
	})
}
