package collector

import (
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func TestGrowth(t *testing.T) {
	type reading struct {
		after time.Duration
		total float64
		want  float64
	}
	unknown := spec.Absent()
	for name, readings := range map[string][]reading{
		"no rate before the minimum": {{0, 100, unknown}, {time.Minute, 160, unknown}, {4 * time.Minute, 340, unknown}, {5 * time.Minute, 400, 1}},
		"idle is 0":                  {{0, 100, unknown}, {10 * time.Minute, 100, 0}},
		"over the last hour": {
			{0, 0, unknown}, {30 * time.Minute, 18000, 10}, {60 * time.Minute, 18000, 5},
			{90 * time.Minute, 18000, 0}, // the busy half hour has left
		},
		"a step back begins anew": {
			{0, 5000, unknown}, {10 * time.Minute, 5600, 1}, {11 * time.Minute, 100, unknown}, {21 * time.Minute, 700, 1},
		},
		"idle, then busy: never more than is true, and all of it after an hour": {
			{0, 0, unknown}, {30 * time.Minute, 0, 0}, {50 * time.Minute, 0, 0}, {60 * time.Minute, 6000, 6000.0 / 3600},
			{90 * time.Minute, 24000, 24000.0 / 3600}, {110 * time.Minute, 36000, 10}, {120 * time.Minute, 42000, 10},
		},
		"after a long silence it begins anew": {
			{0, 0, unknown}, {10 * time.Minute, 600, 1}, {5 * time.Hour, 1000000, unknown}, {5*time.Hour + 10*time.Minute, 1000600, 1},
		},
		"absent changes nothing": {{0, 0, unknown}, {time.Minute, unknown, unknown}, {10 * time.Minute, 600, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var g growth
			start := time.Unix(1000, 0)
			for _, r := range readings {
				if got := g.rate(start.Add(r.after), r.total); !sameValue(got, r.want) {
					t.Errorf("after %v: rate %v, want %v", r.after, got, r.want)
				}
			}
		})
	}
}

// TestGrowthIsBounded: what is kept does not grow with the number of scrapes.
func TestGrowthIsBounded(t *testing.T) {
	var g growth
	now := time.Unix(1000, 0)
	for i := range 20000 {
		g.rate(now.Add(time.Duration(i)*time.Second), float64(i))
	}
	if most := int(growthWindow/growthSpacing) + 1; len(g.points) > most {
		t.Errorf("%d points kept, want at most %d", len(g.points), most)
	}
}

func TestTimeLeft(t *testing.T) {
	unknown := spec.Absent()
	for _, c := range []struct{ age, limit, rate, want float64 }{
		{100, 300, 2, 100},
		{300, 300, 2, 0},
		{400, 300, 2, 0},
		{300, 300, 0, 0},
		{300, 300, unknown, 0},
		{100, 300, 0, unknown},
		{100, 300, unknown, unknown},
		{unknown, 300, 2, unknown},
		{100, unknown, 2, unknown},
	} {
		if got := timeLeft(c.age, c.limit, c.rate); !sameValue(got, c.want) {
			t.Errorf("timeLeft(%v, %v, %v) = %v, want %v", c.age, c.limit, c.rate, got, c.want)
		}
	}
}

// TestXidForecast: transaction and multixact ids each have their own forecast,
// and what the row has passes unchanged.
func TestXidForecast(t *testing.T) {
	columns := []string{
		"transaction_ids_total", "multixact_ids_total", "transaction_id_age", "multixact_id_age",
		"freeze_max_age", "multixact_freeze_max_age", "stop_age", "multixact_stop_age",
	}
	forecast := XidLimits.Emit()
	emit := func(now int64, values ...float64) *spec.Rows {
		t.Helper()
		var kinds []spec.Column
		for _, name := range columns {
			kinds = append(kinds, spec.Column{Name: name, Kind: spec.Value})
		}
		in := spec.NewRows(kinds)
		for _, v := range values {
			in.AppendValue(v)
		}
		if err := in.EndRow(); err != nil {
			t.Fatal(err)
		}
		sink := spec.NewSink(XidLimits)
		if err := forecast.Emit(spec.Run{Now: time.Unix(now, 0)}, in, sink); err != nil {
			t.Fatal(err)
		}
		out, _, err := sink.Close()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	emit(0, 10000, 50, 1000, 40, 2000, 4000, 5000, 9000)
	out := emit(600, 16000, 50, 7000, 40, 2000, 4000, 13000, 9000)
	for name, want := range map[string]float64{
		"transaction_ids_total": 16000, "transaction_ids_per_second": 10,
		"freeze_max_age": 2000, "until_forced_vacuum_seconds": 0, // it is past due
		"stop_age": 13000, "until_stop_seconds": 600,
		"multixact_ids_total": 50, "multixact_ids_per_second": 0,
		"multixact_stop_age": 9000, "multixact_until_forced_vacuum_seconds": spec.Absent(),
		"multixact_until_stop_seconds": spec.Absent(), "failsafe_age": spec.Absent(), // before 14
	} {
		if got := out.Value(0, name); !sameValue(got, want) {
			t.Errorf("%s %v, want %v", name, got, want)
		}
	}
}
