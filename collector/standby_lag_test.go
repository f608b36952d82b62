package collector

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Runs come every 15 seconds and start at noon. Messages on an idle link come at
// most every 30 seconds, half of wal_receiver_timeout.
const noon = 1_700_000_000.0

// at returns the facts of a healthy standby that streams and has replayed all
// there is, as changed. Times are seconds after noon.
func at(second float64, changes ...func(*standbyFacts)) standbyFacts {
	f := standbyFacts{
		now: noon + second, message: noon + second - 1, committed: noon + second - 2,
		upstream: 5000, replayed: 5000, receiver: 1, timeout: 60, paused: 0, streams: 1,
	}
	for _, change := range changes {
		change(&f)
	}
	return f
}

func message(second float64) func(*standbyFacts) {
	return func(f *standbyFacts) { f.message = noon + second }
}

func committed(second float64) func(*standbyFacts) {
	return func(f *standbyFacts) { f.committed = noon + second }
}

func position(upstream, replayed float64) func(*standbyFacts) {
	return func(f *standbyFacts) { f.upstream, f.replayed = upstream, replayed }
}

func timeout(seconds float64) func(*standbyFacts) {
	return func(f *standbyFacts) { f.timeout = seconds }
}

func neverCommitted(f *standbyFacts) { f.committed = spec.Absent() }
func noReceiver(f *standbyFacts)     { f.receiver, f.message = 0, spec.Absent() }
func hidden(f *standbyFacts)         { f.receiver, f.message = spec.Absent(), spec.Absent() }
func neverStreamed(f *standbyFacts)  { f.upstream = spec.Absent() }
func isPaused(f *standbyFacts)       { f.paused = 1 }

func archived(f *standbyFacts) {
	noReceiver(f)
	neverStreamed(f)
	f.streams = 0
}

const unknown = -1

func TestStandbyLag(t *testing.T) {
	for _, test := range []struct {
		name      string
		runs      []standbyFacts
		situation string
		lag       float64
	}{
		{"idle since the morning", []standbyFacts{at(0, message(-29), committed(-9000))}, caughtUp, 0},
		{"idle, nothing replayed since start", []standbyFacts{at(0, neverCommitted)}, caughtUp, 0},
		{"idle, message as old as may be", []standbyFacts{at(0, message(-60), committed(-9000))}, caughtUp, 0},
		{"idle, upstream behind a segment that was streamed anew", []standbyFacts{at(0, position(4096, 5000))}, caughtUp, 0},

		{"replaying, by the last commit", []standbyFacts{at(0), at(15, position(6000, 5500), committed(12))}, replaying, 3},
		{"replaying after a quiet night, by the proof", []standbyFacts{
			at(0, message(-20), committed(-9000)), at(15, position(6000, 5500), committed(-9000)),
		}, replaying, 35},
		{"replaying one long transaction, by the marks passed", []standbyFacts{
			at(0, committed(-9000)),
			at(15, position(6000, 5500), committed(-9000)),
			at(30, position(7000, 6500), committed(-9000)),
			at(45, position(8000, 7500), committed(-9000)),
		}, replaying, 16},
		{"replaying, of proof and commit the younger", []standbyFacts{
			at(0), at(15, position(6000, 5500)), at(30, position(7000, 6500), committed(10)),
		}, replaying, 16},
		{"replaying at first sight", []standbyFacts{at(0, position(6000, 5500), committed(-100))}, replaying, 100},
		{"replaying at first sight, no commit yet", []standbyFacts{at(0, position(6000, 5500), neverCommitted)}, replaying, unknown},
		{"caught up again", []standbyFacts{at(0, position(6000, 5500), committed(-100)), at(15, position(6000, 6000))}, caughtUp, 0},

		{"cut, receiver gone, from the last message", []standbyFacts{
			at(0, message(-20), committed(-9000)), at(70, noReceiver, committed(-9000)),
		}, cut, 90},
		{"cut, upstream frozen, the receiver does not know yet", []standbyFacts{
			at(0, committed(-9000)), at(59, message(-1), committed(-9000)),
		}, caughtUp, 0},
		{"cut, the receiver itself is stuck", []standbyFacts{
			at(0, committed(-9000)), at(61, message(-1), committed(-9000)),
		}, cut, 62},
		{"cut for an hour", []standbyFacts{
			at(0), at(15, noReceiver), at(3600, noReceiver, committed(-2)),
		}, cut, 3601},
		{"cut while behind, rest replayed afterwards", []standbyFacts{
			at(0, position(6000, 5500), committed(-500)), at(15, noReceiver, position(5900, 5900), committed(-500)),
			at(30, noReceiver, position(6000, 6000), committed(-500)),
		}, cut, 31},
		{"cut while behind, rest never came", []standbyFacts{
			at(0, position(6000, 5500), committed(-500)), at(30, noReceiver, position(5900, 5900), committed(-400)),
		}, cut, 430},
		{"cut, fed from the archive instead", []standbyFacts{
			at(0), at(600, noReceiver, position(5000, 9000), committed(570)),
		}, cut, 30},
		{"cut, exporter restarted", []standbyFacts{at(0, noReceiver, committed(-300))}, cut, 300},
		{"cut, exporter and standby restarted", []standbyFacts{at(0, noReceiver, neverStreamed, neverCommitted)}, cut, unknown},
		{"cut, only the standby restarted", []standbyFacts{at(0), at(60, noReceiver, neverStreamed, neverCommitted)}, cut, 61},
		{"cut, standby crashed and has not reached the proof again", []standbyFacts{
			at(0), at(60, noReceiver, position(spec.Absent(), 4000), neverCommitted),
		}, cut, unknown},
		{"cut and back", []standbyFacts{at(0), at(90, noReceiver), at(105)}, caughtUp, 0},

		{"paused, nothing pending", []standbyFacts{at(0, isPaused, committed(-9000))}, paused, 0},
		{"paused, WAL pending", []standbyFacts{at(0), at(600, isPaused, position(9000, 5000), committed(-2))}, paused, 601},
		{"paused, link cut", []standbyFacts{at(0, isPaused), at(600, isPaused, noReceiver, committed(-2))}, paused, 601},
		{"paused and hidden, nothing pending", []standbyFacts{at(0, isPaused, hidden)}, paused, unknown},
		{"archive only, at first sight", []standbyFacts{at(0, archived, committed(-100))}, archiveOnly, 100},
		{"archive only, nothing new", []standbyFacts{at(0, archived, committed(-100)), at(15, archived, committed(-100))}, archiveOnly, 115},
		{"archive only, catching up", []standbyFacts{
			at(0, archived), at(15, archived, position(spec.Absent(), 7000), committed(-100)),
		}, replaying, 115},
		{"archive only, nothing replayed yet", []standbyFacts{at(0, archived, neverCommitted)}, archiveOnly, unknown},
		{"receiver hidden, WAL pending", []standbyFacts{at(0, hidden, position(6000, 5500), committed(-30))}, replaying, 30},
		{"receiver hidden, nothing pending", []standbyFacts{at(0, hidden, committed(-9000))}, replaying, unknown},
		{"no timeout, fresh message", []standbyFacts{at(0, timeout(0))}, caughtUp, 0},
		{"no timeout, quiet link", []standbyFacts{at(0, timeout(0), message(-61))}, replaying, unknown},
		{"no timeout, quiet link, WAL pending", []standbyFacts{
			at(0, timeout(0), message(-61), committed(-300), position(6000, 5500)),
		}, replaying, 300},
		{"primary's clock a little ahead", []standbyFacts{at(0, position(6000, 5500), committed(2))}, replaying, 0},
		{"primary's clock far ahead, cut", []standbyFacts{at(0), at(100, noReceiver, committed(3600))}, cut, 101},
		{"upstream failed over to where it had less", []standbyFacts{
			at(0, position(9000, 5000)), at(15, position(6000, 6000)), at(30, noReceiver, position(6000, 6000), committed(-2)),
		}, cut, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h standbyHistory
			var situation string
			var lag float64
			for _, f := range test.runs {
				situation, lag = h.lag(f)
			}
			if spec.IsAbsent(lag) {
				lag = unknown
			}
			if situation != test.situation || lag != test.lag {
				t.Errorf("lag is %v, %s; want %v, %s", lag, situation, test.lag, test.situation)
			}
		})
	}
}

// TestStandbyLagBounded leaves a standby behind for a day: it keeps no more marks
// than it may, and still proves no more than is true.
func TestStandbyLagBounded(t *testing.T) {
	var h standbyHistory
	end := 0.0
	for second := 0.0; second < 86400; second += 15 {
		end = 6000 + second
		h.lag(at(second, position(end, 5000), committed(0)))
	}
	if len(h.marks) != maxMarks {
		t.Errorf("%d marks, want %d", len(h.marks), maxMarks)
	}
	if _, lag := h.lag(at(86400, position(end+15, end), committed(0))); lag < 1 || lag > 86400 {
		t.Errorf("lag is %v once nearly all is replayed", lag)
	}
	if _, lag := h.lag(at(86415, position(end+30, end+15), committed(0))); lag != 16 {
		t.Errorf("lag is %v a run later, want 16", lag)
	}
}

func TestStandbyLagEmit(t *testing.T) {
	sink := spec.NewSink(StandbyLag)
	rows := spec.NewRows([]spec.Column{
		{Name: "now", Kind: spec.Value}, {Name: "committed", Kind: spec.Value}, {Name: "receiver", Kind: spec.Value},
		{Name: "replayed", Kind: spec.Value}, {Name: "streams", Kind: spec.Value},
	})
	for _, v := range []float64{noon, noon - 300, 0, 5000, 1} {
		rows.AppendValue(v)
	}
	if err := rows.EndRow(); err != nil {
		t.Fatal(err)
	}
	emitter := StandbyLag.Emit()
	if err := emitter.Emit(spec.Run{}, rows, sink); err != nil {
		t.Fatal(err)
	}
	rows.Reset() // as on a primary
	if err := emitter.Emit(spec.Run{}, rows, sink); err != nil {
		t.Fatal(err)
	}
	out, _, err := sink.Close()
	if err != nil || out.Len() != 1 || out.Text(0, "situation") != cut || out.Value(0, "lag_seconds") != 300 {
		t.Errorf("emitted %d rows, %q %v, %v; want cut 300", out.Len(), out.Text(0, "situation"), out.Value(0, "lag_seconds"), err)
	}
}
