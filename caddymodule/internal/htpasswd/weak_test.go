package htpasswd

import "testing"

func TestWeakIsWhatCostsAThiefLittle(t *testing.T) {
	table, _ := parseText("cheap:" + hashBcrypt4 + "\nsha:" + hashSHA + "\napr:" + hashAPR1 + "\nlocked:!" + hashSHA + "\nplain:secret\n" +
		"dear:$2y$10$cAjKtdfbpHAVQzy7wbvEi.SQFS3E4N6GQNzC1XrxvXqgW/QLRT6rO\n")
	for name, want := range map[string]bool{
		"cheap": true, "sha": true, "apr": true, "locked": false, "plain": false, "dear": false, "nobody": false,
	} {
		if got := table.IsWeak(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
