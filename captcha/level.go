package captcha

import "fmt"

// Level is how hard a challenge is to read or to hear. It is sealed in the
// token, so nobody but the maker chooses it (CAP-3).
type Level uint8

// The levels, from the one for sites that few programs aim at to the one for
// visitors under suspicion.
const (
	Easy   Level = 1
	Normal Level = 2
	Hard   Level = 3
)

var levelNames = [...]string{Easy: "easy", Normal: "normal", Hard: "hard"}

func (l Level) valid() bool { return l >= Easy && l <= Hard }

// String is the level's name in configurations.
func (l Level) String() string {
	if !l.valid() {
		return fmt.Sprintf("level %d", uint8(l))
	}
	return levelNames[l]
}

// ParseLevel reads what String wrote.
func ParseLevel(name string) (Level, error) {
	for l := Easy; l <= Hard; l++ {
		if name == levelNames[l] {
			return l, nil
		}
	}
	return 0, fmt.Errorf("level %q: one of easy, normal, hard", name)
}
