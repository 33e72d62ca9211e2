package htpasswd

import (
	"crypto/sha256"
	"errors"
	"time"
)

// judge decides what a series of readings of the users file means (USR-5). It reads no file and no clock, starts
// nothing and logs nothing: it is told what was read and when, and answers what to do.
type judge struct {
	agree, settle time.Duration
	seed          [32]byte

	// good is the last good reading, inUse the content it was made of.
	good  *reading
	inUse content

	// bad is when the reading began to differ from inUse; zero while it does not.
	bad time.Time
	// seen is the last reading of these, since when it has been the same, and what it says once that is known.
	seen  content
	since time.Time
	read  *reading

	// told and closed: the trouble was logged, and sign-in was closed.
	told, closed bool
}

// content tells one state of the file from another. All failures to read are one state.
type content struct {
	failed bool
	sum    [sha256.Size]byte
}

func contentOf(data []byte, err error) content {
	if err != nil {
		return content{failed: true}
	}
	return content{sum: sha256.Sum256(data)}
}

// reading is what a content says, or why it is of no use.
type reading struct {
	table    *Table
	problems []Problem
	err      error
}

var (
	errNoneUsable = errors.New("no line can be used")
	errEmptied    = errors.New("file is empty")
	errRestless   = errors.New("file keeps changing")
)

func newReading(data []byte, seed [32]byte) *reading {
	r := &reading{}
	r.table, r.problems = parse(data, seed)
	if r.table.Len() == 0 && r.table.LockedLen() == 0 && len(r.problems) > 0 {
		r.err = errNoneUsable
	}
	return r
}

// verdict is what to do after a reading.
type verdict struct {
	event event
	// table is in force from now on when the event is eventReloaded, eventRecovered or eventEmptied.
	table    *Table
	problems []Problem
	// err says what is wrong with the file.
	err error
	// wait is when to read again for an agreement, or 0.
	wait time.Duration
}

// event is a turn in the life of the file. Each happens once.
type event int

const (
	eventNone event = iota
	// eventReloaded: new content is in force.
	eventReloaded
	// eventRecovered: the last good content is back after trouble that was told.
	eventRecovered
	// eventKeeping: the file is of no use; the last good table stays for now.
	eventKeeping
	// eventEmptied: the file stayed empty; nobody can sign in.
	eventEmptied
	// eventClosed: the file stayed of no use; there is no table any more.
	eventClosed
)

// observe takes in a reading that began at now. Times must not go back, as those of time.Now do not within a process.
func (j *judge) observe(now time.Time, data []byte, err error) verdict {
	id := contentOf(data, err)
	if id == j.inUse {
		return j.recover()
	}
	if j.bad.IsZero() || id != j.seen {
		if j.bad.IsZero() {
			j.bad = now
		}
		j.seen, j.since, j.read = id, now, nil
	}
	if wait := j.agree - now.Sub(j.since); wait > 0 {
		// One reading says nothing yet. A reading under way may still turn out good, hence the grace.
		if now.Sub(j.bad) >= j.settle+j.agree {
			v := j.close(errRestless)
			v.wait = wait
			return v
		}
		return verdict{wait: wait}
	}
	if err != nil {
		return j.distrust(now, err, nil)
	}
	if j.read == nil {
		j.read = newReading(data, j.seed)
	}
	read := j.read
	switch {
	case read.err != nil:
		return j.distrust(now, read.err, read.problems)
	case read.table.Len() > 0 || read.table.LockedLen() > 0 || j.good.table.Len() == 0:
		return j.accept(eventReloaded)
	case now.Sub(j.bad) < j.settle:
		return j.distrust(now, errEmptied, nil)
	}
	v := j.accept(eventEmptied)
	v.err = errEmptied
	return v
}

// adopt takes in content that we wrote ourselves. It needs no second reading, and nothing in it is an accident.
func (j *judge) adopt(data []byte) verdict {
	j.seen, j.read = contentOf(data, nil), newReading(data, j.seed)
	return j.accept(eventReloaded)
}

// recover goes on with the content that is in use.
func (j *judge) recover() verdict {
	v := verdict{table: j.good.table, problems: j.good.problems}
	if j.told {
		v.event = eventRecovered
	}
	j.rest()
	return v
}

// accept puts what was seen into force.
func (j *judge) accept(e event) verdict {
	v := verdict{event: e, table: j.read.table, problems: j.read.problems}
	j.good, j.inUse = j.read, j.seen
	j.rest()
	return v
}

func (j *judge) rest() {
	j.bad, j.since, j.read, j.told, j.closed = time.Time{}, time.Time{}, nil, false, false
}

// distrust keeps the last good table while the settle time lasts, and then closes.
func (j *judge) distrust(now time.Time, err error, problems []Problem) verdict {
	if now.Sub(j.bad) >= j.settle {
		v := j.close(err)
		v.problems = problems
		return v
	}
	if j.told {
		return verdict{}
	}
	j.told = true
	return verdict{event: eventKeeping, problems: problems, err: err}
}

func (j *judge) close(err error) verdict {
	if j.closed {
		return verdict{}
	}
	j.told, j.closed = true, true
	return verdict{event: eventClosed, err: err}
}
