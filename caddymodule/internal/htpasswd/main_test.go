package htpasswd

import (
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// With these variables set, the test binary is a process of its own that edits a users file.
const (
	jobName = "HTPASSWD_TEST_JOB"
	jobPath = "HTPASSWD_TEST_PATH"
)

var jobs = map[string]func(path string){"crash": crashLoop, "rush": rushIn}

func TestMain(m *testing.M) {
	if job := os.Getenv(jobName); job != "" {
		jobs[job](os.Getenv(jobPath))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// process is a job in a process of its own.
func process(job, path string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), jobName+"="+job, jobPath+"="+path, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// Hashes of "password": Apache's and OpenSSL's tools wrote them, {SSHA} apart, which is
// base64(SHA-1(password, salt), salt), and argon2id, which is a vector of the reference implementation.
const (
	hashBcrypt4     = "$2y$04$Ad456RGvBdNe.4tyyMpU9uktWp5iyYOAi0wQXlwrJznQHxxDBq1W2"
	hashBcrypt10    = "$2y$10$xPNY.CL7v9SjEkZC3pL2ue2yhwwguyZPEFPRN9pRzbZarbUOwKL2C"
	hashArgon2      = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	hashArgon2Good  = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	hashSHA256      = "$5$y7iHeFACTrQ0zNLK$tqPdKqHnQWM2woB./cpTLwKRYh0mrDAgnQZynjg/m3A"
	hashSHA256Short = "$5$abc$6va2Z4O.keO7R84v9g0B9d2NkB7NOyTy0sMeQ5Z3LLA"
	hashSHA256R1000 = "$5$rounds=1000$jaop2ddRIa1LSXw7$Ih0qfHp8PpM6nRACNisbe09DfPbnhUFkVJ7EHYK7y.B"
	hashSHA512      = "$6$eGWdotoEE25Jz4FU$a7VhSpwSonCwMsXOerrg0QLaTFxX.JHy9ELi.EC1OwTCihgg.glo55KHz.788QRiJ0VL6ie/Sowf/EBvlZIkO1"
	hashSHA512R1000 = "$6$rounds=1000$tK55MuTu4Uo338MW$QalZ/J/yeGGttebrRDD8lar74Szq/4Lj6he2KqWj.HRP1tADTNzXkgA3komBiUEXv2SkuaaX0HK024Gh8zxE./"
	hashAPR1        = "$apr1$rl.Tbij6$tOxtdM7HRolms1OSINbEI1"
	hashAPR1Short   = "$apr1$abc$mehJE/UcwZsj.w5DYe.b5."
	hashSSHA        = "{SSHA}yrht1iYXEIkejLVu42JWkadd80RzYWx0c2FsdA=="
	hashSSHABinary  = "{SSHA}XcnjqLsuEA3FkaYr3npd1ABlBR7/ADoK"
	hashSHA         = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="
	// hashEmpty is bcrypt of no password at all.
	hashEmpty = "$2y$04$KEOx0xppddj/Kk1S7TY6S.y7I7SRcpSJtS8D8.xoIuoXAfBVgNMKi"
)

// understood is every hash above that matches "password".
var understood = map[string]string{
	"bcrypt cost 4": hashBcrypt4, "bcrypt cost 10": hashBcrypt10,
	"bcrypt 2a": "$2a$" + hashBcrypt4[4:], "bcrypt 2b": "$2b$" + hashBcrypt4[4:],
	"argon2id": hashArgon2, "argon2id 64 MiB": hashArgon2Good,
	"sha256-crypt": hashSHA256, "sha256-crypt short salt": hashSHA256Short, "sha256-crypt rounds": hashSHA256R1000,
	"sha512-crypt": hashSHA512, "sha512-crypt rounds": hashSHA512R1000,
	"apr1": hashAPR1, "apr1 short salt": hashAPR1Short,
	"ssha": hashSSHA, "ssha binary salt": hashSSHABinary, "sha": hashSHA,
}

// parseText is Parse of a text with the dummies of a fixed seed, and with quick work where nobody can sign in.
func parseText(text string) (*Table, []Problem) {
	table, problems := parse([]byte(text), [32]byte{1})
	if table.Len() == 0 {
		table.work = []workload{{kind: kind{scheme: schemeSHA}, dummy: hashSHA}}
	}
	return table, problems
}

// signsIn is Verify without the fingerprint.
func signsIn(t *Table, name, password string) bool {
	_, ok := t.Verify(name, password)
	return ok
}
