package backup

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// watched is a Watcher in a test, and what it has logged.
type watched struct {
	*Watcher
	log *logged
}

// watch begins to watch a source, and to look at it again whenever it is read.
func watch(t testing.TB, c Config) watched {
	t.Helper()
	if c.Interval == 0 {
		c.Interval = time.Nanosecond
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	said := new(logged)
	w := New(t.Context(), c, log.NewLogfmtLogger(said))
	t.Cleanup(w.Close)
	return watched{w, said}
}

// logged is a log in memory.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// told are the samples of what m holds.
func told(t testing.TB, c Config, listsFailures bool, m *memory, archived []Archived) map[string]float64 {
	t.Helper()
	p := newPage()
	p.add(c, listsFailures, m, archived)
	return samples(t, p.readings())
}

// samples are the samples of readings by metric and labels, without the prefix pg_
// and the label tool, as in backup_repository_status{main,1,ok}.
func samples(t testing.TB, readings []spec.Reading) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, r := range readings {
		if r.Err != nil {
			t.Fatalf("%s: %v", r.Collector, r.Err)
		}
		for row := range r.Rows.Len() {
			var labels []string
			for _, c := range r.Rows.Columns() {
				if c.Kind == spec.Text && c.Name != "tool" {
					labels = append(labels, r.Rows.Text(row, c.Name))
				}
			}
			for _, c := range r.Rows.Columns() {
				if v := r.Rows.Value(row, c.Name); c.Kind == spec.Value && !spec.IsAbsent(v) {
					name := spec.Collector{Name: r.Collector, Source: spec.Backup}.FullName(c.Name)
					out[strings.TrimPrefix(name, "pg_")+"{"+strings.Join(labels, ",")+"}"] = v
				}
			}
		}
	}
	return out
}

// after returns the samples of a look that begins after this call.
func (w watched) after(t testing.TB) map[string]float64 {
	t.Helper()
	w.mu.Lock()
	before := w.memory.attempt
	w.mu.Unlock()
	begun := func() bool { // and done
		w.Read(t.Context())
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.memory.attempt.After(before)
	}
	until(t, "a look begins", begun)
	until(t, "a look ends", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.busy
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	return told(t, w.config, w.read.failures, &w.memory, w.archived)
}

// expect compares samples; one that is wanted to be absent has the value absent.
func expect(t testing.TB, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		v, there := got[name]
		switch {
		case spec.IsAbsent(want[name]) && there:
			t.Errorf("%s is %v, and should be absent", name, v)
		case !spec.IsAbsent(want[name]) && !there:
			t.Errorf("%s is absent, want %v", name, want[name])
		case there && v != want[name]:
			t.Errorf("%s is %v, want %v", name, v, want[name])
		}
	}
}
