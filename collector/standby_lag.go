package collector

import (
	"slices"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// The situations a standby can be in.
const (
	caughtUp    = "caught_up"    // the link lives and all that came over it is replayed
	replaying   = "replaying"    // WAL is waiting to be replayed
	paused      = "paused"       // replay is paused, whatever the link does
	cut         = "cut"          // there should be a link and is none
	archiveOnly = "archive_only" // all that was in the archive is replayed; whether there is newer, nobody can tell
)

const (
	// untimed is how old a message may be where wal_receiver_timeout is off.
	untimed = 60
	// skew is by how much a commit may seem to lie in the future.
	skew = 5
	// maxMarks bounds the marks of a standby that does not come to replay them.
	maxMarks = 512
)

// standbyFacts are what a standby says of itself in one moment. Times are Unix
// seconds by its own clock, but for committed, which is by the primary's;
// positions are bytes; each may be absent.
type standbyFacts struct {
	now, message, committed float64
	upstream, replayed      float64
	receiver, timeout       float64
	paused, streams         float64
}

// standbyMark says: at this time the upstream server's WAL ended here.
type standbyMark struct{ at, position float64 }

// standbyHistory derives the lag of one standby from its facts and what they were
// before. Each message from upstream leaves a mark. Once replay has passed a mark,
// the standby's data is proven to be no older than the mark; it is no older than
// the last commit replayed either. The younger of the two bounds the lag, so a
// link that is cut makes it grow from the last message, and WAL that comes after a
// quiet night does not make it a night long.
type standbyHistory struct {
	proof    standbyMark   // the last mark that replay has passed
	marks    []standbyMark // those it has not, oldest first
	replayed float64       // position of the last run, 0 before the first
}

// Emit gives one sample, or none on a primary and where the lag is not known.
func (h *standbyHistory) Emit(_ spec.Run, in *spec.Rows, out *spec.Sink) error {
	for row := range in.Len() {
		situation, lag := h.lag(standbyFacts{
			now:       in.Value(row, "now"),
			message:   in.Value(row, "message"),
			committed: in.Value(row, "committed"),
			upstream:  in.Value(row, "upstream"),
			replayed:  in.Value(row, "replayed"),
			receiver:  in.Value(row, "receiver"),
			timeout:   in.Value(row, "timeout"),
			paused:    in.Value(row, "paused"),
			streams:   in.Value(row, "streams"),
		})
		out.Row(situation)
		out.Set("lag_seconds", lag)
	}
	return nil
}

// lag returns the situation and the lag, which is absent where it is not known.
// Comparisons with what is absent are false, as of any NaN.
func (h *standbyHistory) lag(f standbyFacts) (situation string, seconds float64) {
	moved := h.replayed > 0 && f.replayed > h.replayed
	h.remember(f)
	alive, dead := f.link()
	behind := f.replayed < f.upstream
	switch {
	case f.paused == 1:
		situation = paused
	case alive && !behind:
		situation = caughtUp
	case dead && f.streams == 1:
		situation = cut
	case dead && !behind && !moved:
		situation = archiveOnly
	default:
		situation = replaying
	}
	switch {
	case alive && !behind:
		return situation, 0
	case !alive && !dead && !behind:
		return situation, spec.Absent()
	}
	return situation, h.age(f)
}

// link says whether the upstream server is known to be there, or known not to be.
// Neither is known to a role that may not see the receiver, or where the link is
// quiet and wal_receiver_timeout is off, so that nobody asks for a sign of life.
func (f standbyFacts) link() (alive, dead bool) {
	age := f.now - f.message
	switch {
	case f.receiver == 0:
		return false, true
	case f.timeout == 0:
		return age <= untimed, false
	default:
		return age <= f.timeout, age > f.timeout
	}
}

// remember marks the last message and moves the proof past what is replayed.
func (h *standbyHistory) remember(f standbyFacts) {
	if f.message > 0 && f.upstream > 0 {
		n := len(h.marks)
		// The same position at a later time, or an upstream that was rewound.
		for n > 0 && h.marks[n-1].position >= f.upstream {
			n--
		}
		h.marks = append(h.marks[:min(n, maxMarks-1)], standbyMark{f.message, f.upstream})
	}
	passed := 0
	for passed < len(h.marks) && h.marks[passed].position <= f.replayed {
		h.proof = h.marks[passed]
		passed++
	}
	h.marks = slices.Delete(h.marks, 0, passed)
	h.replayed = f.replayed
}

// age is how long ago the standby's data is proven to have been current.
func (h *standbyHistory) age(f standbyFacts) float64 {
	current := spec.Absent()
	// A standby that was rewound or crashed may have to reach the proof again.
	if h.proof.at > 0 && h.proof.position <= f.replayed {
		current = h.proof.at
	}
	// A commit in the future only proves that the clocks differ.
	if f.committed <= f.now+skew && !(f.committed <= current) {
		current = f.committed
	}
	if spec.IsAbsent(current) {
		return current
	}
	return max(f.now-current, 0)
}
