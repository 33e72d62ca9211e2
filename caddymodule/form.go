package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	typeForm = "application/x-www-form-urlencoded"

	maxBody     = 16 << 10
	bodyTimeout = 10 * time.Second
)

// The longest value of each field in bytes (INP-8). A return target is bounded
// where it is judged: one that is too long is forgotten, not refused.
var maxField = map[string]int{
	"username": 255, "password": 1024, "captcha_token": 1024, "captcha_answer": 64, "captcha_work": 512,
	"email": 254, "current_password": 1024, "new_password": 1024, "confirm_password": 1024,
	"code": 64, "action": 32, "session": 64, "form_token": 512,
}

// captchaResponse is what a form sends for its captcha.
type captchaResponse struct {
	purpose             string
	token, answer, work string
}

func (c captchaResponse) isGiven() bool { return c.token != "" && (c.answer != "" || c.work != "") }

func captchaOf(purpose string, values map[string]string) captchaResponse {
	return captchaResponse{
		purpose: purpose, token: values["captcha_token"], answer: values["captcha_answer"], work: values["captcha_work"],
	}
}

// signInFields are the fields of the sign-in form.
type signInFields struct {
	username, password string
	captcha            captchaResponse
	returnTo           string
	remember           bool
}

// mediaType is the request's one content type, "" if there is none that can be
// understood.
func mediaType(r *http.Request) string {
	lines := r.Header["Content-Type"]
	if len(lines) != 1 {
		return ""
	}
	name, parameters, err := mime.ParseMediaType(lines[0])
	if charset := parameters["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return ""
	}
	return name
}

// readSignIn reads the sign-in form.
func readSignIn(w http.ResponseWriter, r *http.Request) (signInFields, code) {
	values, wrong := readFields(w, r)
	if wrong != "" {
		return signInFields{}, wrong
	}
	return signInFields{
		username: values["username"], password: values["password"], captcha: captchaOf(purposeLogin, values),
		returnTo: values["rd"], remember: ticked(values["remember"]),
	}, ""
}

// readFields reads the body of a form or a JSON object, and only the body
// (CRD-10). The code says what is wrong with it, "" if nothing is.
func readFields(w http.ResponseWriter, r *http.Request) (map[string]string, code) {
	kind := mediaType(r)
	if r.ContentLength > maxBody {
		return nil, codeTooLarge
	}
	if kind != typeForm && kind != typeJSON || r.Header.Get("Content-Encoding") != "" {
		return nil, codeUnsupportedMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, codeTooLarge
	}
	if err != nil {
		return nil, codeMalformed
	}
	// It is read to its end, so the connection can go on.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	w.Header().Del("Connection")
	parse := parseForm
	if kind == typeJSON {
		parse = parseJSON
	}
	values, ok := parse(body)
	if !ok || !wellFormed(values) {
		return nil, codeMalformed
	}
	return values, ""
}

// parseForm reads an urlencoded body in which every field stands once.
func parseForm(body []byte) (map[string]string, bool) {
	query, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, false
	}
	values := make(map[string]string, len(query))
	for name, list := range query {
		if len(list) != 1 {
			return nil, false
		}
		values[name] = list[0]
	}
	return values, true
}

// parseJSON reads one flat object of strings and booleans with nothing after
// it. It walks the tokens, because decoding into a struct would match names
// without case, take the last of two equal names, and turn null into "".
func parseJSON(body []byte) (map[string]string, bool) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	values := map[string]string{}
	for d.More() {
		t, err := d.Token()
		name, isString := t.(string)
		if _, twice := values[name]; err != nil || !isString || twice {
			return nil, false
		}
		t, err = d.Token()
		if err != nil {
			return nil, false
		}
		switch value := t.(type) {
		case string:
			values[name] = value
		case bool:
			values[name] = map[bool]string{true: "true"}[value]
		default:
			return nil, false
		}
	}
	return values, true
}

// wellFormed bounds the fields and refuses control characters and what is not
// UTF-8. U+FFFD is refused too: it is what a decoder leaves of a broken escape,
// and different broken passwords must not become the same one.
func wellFormed(values map[string]string) bool {
	for name, value := range values {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return false
		}
		if name == "rd" {
			continue
		}
		if limit, known := maxField[name]; known && len(value) > limit {
			return false
		}
		if strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError }) {
			return false
		}
	}
	return true
}

// ticked reads a checkbox, which browsers send as "on".
func ticked(value string) bool {
	return value == "on" || value == "1" || value == "true"
}
