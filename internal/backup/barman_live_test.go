package backup

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// looker looks at a server of a Barman, through the command.
type looker struct {
	config Config
	run    ask
}

func newLooker(b *pgtest.Barman, server string) looker {
	c := Config{Kind: Barman, Stanza: server, Command: b.Command()}
	return looker{c, newRunner(c, os.Environ()).ask}
}

func (l looker) look(t *testing.T) Report {
	t.Helper()
	r, err := lookBarman(t.Context(), l.config, l.run)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, r)
	return r
}

func (l looker) missing(t *testing.T, r Report) []SegmentRange {
	t.Helper()
	listed, err := listBarman(t.Context(), l.config, l.run, r)
	if err != nil {
		t.Fatal(err)
	}
	var missing []SegmentRange
	for _, w := range listed[""] {
		missing = append(missing, w.Missing...)
	}
	return missing
}

// states are what became of the backups, oldest first.
func states(r Report) []State {
	var all []State
	for _, b := range r.Repositories[0].Backups {
		all = append(all, b.State)
	}
	return all
}

// agrees compares a backup with what Barman says to people.
func agrees(t *testing.T, b *pgtest.Barman, backup Backup) {
	t.Helper()
	text := b.Run(t, "show-backup", pgtest.BarmanServer, backup.Label)
	for label, got := range map[string]time.Time{"Begin time": backup.Start, "End time": backup.Stop} {
		want, err := time.Parse("2006-01-02 15:04:05Z07:00", field(t, text, label))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(want) {
			t.Errorf("%s is %v, and Barman says %v", label, got, want)
		}
	}
	for label, got := range map[string]Segment{"Begin WAL": backup.StartWAL, "End WAL": backup.StopWAL} {
		if want := field(t, text, label); got.String() != want {
			t.Errorf("%s is %v, and Barman says %s", label, got, want)
		}
	}
}

func field(t *testing.T, text, label string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ *` + label + ` *: (.*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in %s", label, text)
	}
	return m[1]
}

// TestBarmanStreaming has backups by pg_basebackup, done, running and interrupted;
// a receiver that stops; and a gap.
func TestBarmanStreaming(t *testing.T) {
	t.Parallel()
	b := pgtest.NewBarman(t, 15)
	main := newLooker(b, pgtest.BarmanServer)
	idle := newLooker(b, pgtest.BarmanIdle).look(t)
	if repo := idle.Repositories[0]; repo.Status != StatusEmpty || repo.WAL != nil || len(repo.Backups) != 0 {
		t.Errorf("a server without backups: %+v", repo)
	}
	for _, name := range []string{"minimum_redundancy_requirements", "replication_slot", "receive_wal_running"} {
		if !slices.Contains(failing(idle), name) {
			t.Errorf("check %s did not fail: %v", name, idle.Checks)
		}
	}
	other := main
	other.config.Stanza = "nosuch"
	_, err := lookBarman(t.Context(), other.config, other.run)
	fails(t, err, ReasonExit, "Unknown server 'nosuch'")

	begun := time.Now()
	b.Backup(t)
	b.SwitchWAL(t, 1)
	b.Backup(t)
	r := main.look(t)
	differs(t, "states", states(r), []State{Done, Done})
	differs(t, "failed checks", failing(r), []string{})
	for _, backup := range r.Repositories[0].Backups {
		agrees(t, b, backup)
		if backup.Start.Before(begun) || backup.Stop.After(time.Now()) || backup.Stored < 20<<20 || backup.StoredDelta < 20<<20 {
			t.Errorf("backup: %+v", backup)
		}
	}
	newest := r.Repositories[0].Backups[1].Stop
	if w := window(r.Repositories[0], r.SegmentSize, nil); !w.LastGood.Equal(newest) || !w.Oldest.Equal(r.Repositories[0].Backups[0].Stop) {
		t.Errorf("window: %+v", w)
	}
	t.Run("running", func(t *testing.T) { runningBackup(t, b, main) })
	t.Run("gap", func(t *testing.T) { gap(t, b, main) })

	b.StopReceiver(t)
	r = main.look(t)
	if bad := failing(r); !slices.Contains(bad, "receive_wal_running") || !slices.Contains(bad, "failed_backups") {
		t.Errorf("failed checks: %v", bad)
	}
}

// runningBackup sees a backup while it runs, and when it was interrupted.
func runningBackup(t *testing.T, b *pgtest.Barman, main looker) {
	begun := time.Now().Truncate(time.Second)
	interrupt := b.StartBackup(t)
	var r Report
	for deadline := time.Now().Add(30 * time.Second); !r.running() && time.Now().Before(deadline); {
		r = main.look(t)
	}
	differs(t, "states", states(r), []State{Done, Done, Running})
	repo := r.Repositories[0]
	if !repo.Running || repo.RunningSince.Before(begun) || repo.RunningSince.After(time.Now()) {
		t.Errorf("running: %v, since %v", repo.Running, repo.RunningSince)
	}
	interrupt()
	r = main.look(t)
	differs(t, "states", states(r), []State{Done, Done, Failed})
	if r.running() {
		t.Error("an interrupted backup runs")
	}
}

func (r Report) running() bool { return len(r.Repositories) > 0 && r.Repositories[0].Running }

// gap loses the last but one of three segments.
func gap(t *testing.T, b *pgtest.Barman, main looker) {
	names := b.SwitchWAL(t, 3)
	r := main.look(t)
	differs(t, "end of WAL", r.Repositories[0].WAL[0].Last, segment(t, names[2]))
	if missing := main.missing(t, r); missing != nil {
		t.Errorf("missing before the gap: %v", missing)
	}
	if err := os.Remove(b.Segment(names[1])); err != nil {
		t.Fatal(err)
	}
	b.Run(t, "rebuild-xlogdb", pgtest.BarmanServer)
	lost := segment(t, names[1])
	differs(t, "missing", main.missing(t, r), []SegmentRange{{lost, lost}})
}

// TestBarmanCopying has two backups of a newer server by rsync, of which the second
// has links to files of the first.
func TestBarmanCopying(t *testing.T) {
	t.Parallel()
	b := pgtest.NewBarman(t, 17)
	main := newLooker(b, pgtest.BarmanServer)
	b.Backup(t)
	b.Backup(t)
	r := main.look(t)
	differs(t, "states", states(r), []State{Done, Done})
	differs(t, "failed checks", failing(r), []string{})
	for _, backup := range r.Repositories[0].Backups {
		agrees(t, b, backup)
	}
	if second := r.Repositories[0].Backups[1]; second.Type != Full || second.StoredDelta > second.Stored/2 {
		t.Errorf("a backup of links: %+v", second)
	}
	if missing := main.missing(t, r); missing != nil {
		t.Errorf("missing: %v", missing)
	}
}
