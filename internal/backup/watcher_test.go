package backup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// stub is a stand-in for pgBackRest whose answer can be changed.
type stub struct {
	watched
	dir string
}

// newStub begins to watch a program that prints the file answer, or does what the
// script says instead.
func newStub(t *testing.T, c Config) stub {
	t.Helper()
	s := stub{dir: t.TempDir()}
	s.does(t, "cat "+s.dir+"/answer")
	s.answers(t, sample(t, "pgbackrest-info-one-stanza.json"))
	c.Kind, c.Stanza, c.Command = PgBackRest, "main", []string{filepath.Join(s.dir, "tool")}
	s.watched = watch(t, c)
	return s
}

func (s stub) answers(t *testing.T, out []byte) { s.write(t, "answer", out) }

func (s stub) does(t *testing.T, script string) {
	s.write(t, "tool", []byte("#!/bin/sh\n"+script+"\n"))
}

func (s stub) write(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	// Renamed into its place: a program that is being written cannot be run.
	if err := os.WriteFile(path+".new", content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestFailures holds for each way a look can fail: its reason is counted, the last
// good values and the time of the last look stay, and it is logged once.
func TestFailures(t *testing.T) {
	whole := sample(t, "pgbackrest-info-one-stanza.json")
	for name, c := range map[string]struct {
		answer  []byte
		script  string
		want    Reason
		timeout time.Duration
	}{
		"cut in half":  {answer: whole[:len(whole)/2], want: ReasonFormat},
		"empty":        {answer: []byte{}, want: ReasonFormat},
		"other types":  {answer: []byte(strings.ReplaceAll(string(whole), `"type": "full"`, `"type": ["full"]`)), want: ReasonFormat},
		"exit status":  {script: "echo 'ERROR: [055]: unable to load info' >&2; exit 55", want: ReasonExit},
		"huge":         {script: "exec cat /dev/zero", want: ReasonSize},
		"not runnable": {script: "gone", want: ReasonStart},
		"hangs":        {script: "trap '' TERM; sleep 600", want: ReasonTimeout, timeout: 2 * time.Second},
		"missing":      {answer: []byte(strings.ReplaceAll(string(sample(t, "pgbackrest-info-missing-stanza.json")), "nosuch", "main")), want: ReasonRepository},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t, Config{Timeout: c.timeout})
			good := s.after(t)
			expect(t, good, map[string]float64{"backup_look_success{main}": 1, "backup_completed{main,1,full}": 1})
			switch {
			case c.script == "gone":
				if err := os.Remove(filepath.Join(s.dir, "tool")); err != nil {
					t.Fatal(err)
				}
			case c.script != "":
				s.does(t, c.script)
			default:
				s.answers(t, c.answer)
			}
			for i := range 2 {
				began := time.Now()
				got := s.after(t)
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("a look takes %v", took)
				}
				expect(t, got, map[string]float64{"backup_look_success{main}": 0, "backup_look_failures_total{main," + string(c.want) + "}": float64(i + 1)})
				for name, v := range good {
					if strings.HasPrefix(name, "backup_look_") || strings.HasPrefix(name, "backup_repository_status{") {
						continue
					}
					expect(t, got, map[string]float64{name: v})
				}
			}
			if n := s.log.count("level=warn"); n != 1 {
				t.Errorf("%d warnings: %s", n, s.log.text.String())
			}
			if c.want == ReasonExit && s.log.count(`stderr="ERROR: [055]: unable to load info"`) != 1 {
				t.Errorf("the log does not show what the tool said: %s", s.log.text.String())
			}
			s.does(t, "cat "+s.dir+"/answer")
			s.answers(t, whole)
			expect(t, s.after(t), map[string]float64{"backup_look_success{main}": 1})
			if s.log.count("succeeds again") != 1 {
				t.Errorf("the log does not tell of the end: %s", s.log.text.String())
			}
		})
	}
}

// TestOnlyWhenRead holds the rhythm: one look when the Watcher is made, and another
// when it is read and the last is older than the interval.
func TestOnlyWhenRead(t *testing.T) {
	s := newStub(t, Config{Interval: time.Hour})
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return int(s.memory.failures[ReasonExit])
	}
	until(t, "the first look is done without a Read", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.memory.done
	})
	s.does(t, "exit 1")
	for range 100 {
		s.Read(t.Context())
	}
	s.looks.Wait()
	if count() != 0 {
		t.Errorf("%d looks within an hour", count())
	}
	s.mu.Lock()
	s.memory.attempt = s.memory.attempt.Add(-time.Hour)
	s.mu.Unlock()
	for range 100 {
		s.Read(t.Context())
	}
	s.looks.Wait()
	if count() != 1 {
		t.Errorf("%d looks in the second hour", count())
	}
}

// TestReadDoesNotWait reads while the tool hangs, and closes: nothing is left.
func TestReadDoesNotWait(t *testing.T) {
	s := newStub(t, Config{Interval: time.Nanosecond})
	s.looks.Wait()
	pids := filepath.Join(s.dir, "pids")
	s.does(t, "trap '' TERM\n(trap '' TERM; echo begun >>"+pids+"; sleep 600) &\necho begun >>"+pids+"; wait")
	s.Read(t.Context())
	until(t, "the tool and its child run", func() bool {
		text, _ := os.ReadFile(pids) // not there yet is none
		return strings.Count(string(text), "begun") == 2
	})
	began := time.Now()
	for range 100 {
		s.Read(t.Context())
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 reads beside a hanging tool took %v", took)
	}
	text, err := os.ReadFile(pids)
	if n := strings.Count(string(text), "begun"); err != nil || n != 2 {
		t.Errorf("%d processes have begun: looks are not one at a time", n)
	}
	began = time.Now()
	s.Close()
	s.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	s.Read(t.Context())
	if s.busy {
		t.Error("a look begins after Close")
	}
	if s.log.count("level=warn") != 0 {
		t.Errorf("the end of pgvigil is logged as a failure: %s", s.log.text.String())
	}
}

// TestBeforeTheFirstLook holds that what is not known yet is absent.
func TestBeforeTheFirstLook(t *testing.T) {
	m := newMemory()
	got := told(t, Config{Kind: Barman, Stanza: "main"}, true, &m, nil)
	want := map[string]float64{}
	for _, reason := range reasons() {
		want["backup_look_failures_total{main,"+string(reason)+"}"] = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestFailedAttempts tells of backups that failed, where the tool lists such.
func TestFailedAttempts(t *testing.T) {
	m := newMemory()
	b := full(1, 1)
	failed := with(full(1, 2), func(b *Backup) { b.State, b.Start, b.Stop = Failed, time.Time{}, time.Time{} })
	diff := with(failed, func(b *Backup) { b.Type = Differential })
	m.take(outcome{at: day(3), report: Report{
		Tool: "barman", Stanza: "main", RestoreProven: day(2), Checks: []Check{{"ssh", true}, {"archiver errors", false}},
		Repositories: []Repository{{Status: StatusOK, Backups: []Backup{b, failed, diff}, Running: true, RunningSince: day(3)}},
	}}, time.Hour)
	got := told(t, Config{Kind: Barman, Stanza: "main"}, true, &m, nil)
	expect(t, got, map[string]float64{
		"backup_last_attempt_failed{main,,full}": 1, "backup_completed{main,,full}": 1, "backup_last_stop_timestamp_seconds{main,,full}": moment(day(1)),
		"backup_last_attempt_failed{main,,differential}": 1, "backup_completed{main,,differential}": 0,
		"backup_last_stop_timestamp_seconds{main,,differential}": spec.Absent(), "backup_completed{main,,incremental}": spec.Absent(),
		"backup_check_success{main,ssh}": 1, "backup_check_success{main,archiver errors}": 0, "backup_restore_proven_timestamp_seconds{main}": moment(day(2)),
		"backup_repository_running_since_timestamp_seconds{main,}": moment(day(3)), "backup_repository_newest_recoverable_timestamp_seconds{main,}": moment(day(1)),
	})
}

// TestListings holds when the archive is listed: at its own interval, and once more
// when there is a gap that was not there before.
func TestListings(t *testing.T) {
	m := newMemory()
	report := func() Report {
		return Report{Repositories: []Repository{{Name: "1", Status: StatusOK, Backups: []Backup{full(1, 1)}, WAL: []WALRange{{Timeline: 1, First: seg(1, 1), Last: seg(1, 50)}}}}}
	}
	look := func(at time.Time, listed ...WALRange) {
		o := outcome{at: at, report: report()}
		if o.tried = listed != nil; o.tried {
			o.listed = map[string][]WALRange{"1": listed}
		}
		m.take(o, time.Hour)
	}
	gaps := func() int { return len(m.report.Repositories[0].WAL[0].Missing) }
	at := day(1)
	look(at, wal(1, 1, 50))
	if m.nextList != at.Add(time.Hour) || gaps() != 0 {
		t.Errorf("whole: next %v, %d gaps", m.nextList, gaps())
	}
	look(at.Add(time.Minute))
	if !m.report.Repositories[0].WAL[0].Checked {
		t.Error("the listing is forgotten with the next look")
	}
	at = at.Add(time.Hour)
	look(at, wal(1, 1, 50, 30))
	if m.nextList != at || gaps() != 1 {
		t.Errorf("a new gap: next %v, %d gaps", m.nextList, gaps())
	}
	at = at.Add(time.Minute)
	look(at, wal(1, 1, 50, 30))
	if m.nextList != at.Add(time.Hour) || gaps() != 1 {
		t.Errorf("the same gap: next %v, %d gaps", m.nextList, gaps())
	}
	m.take(outcome{at: at, report: report(), tried: true, listErr: exited("repo-ls", 1)}, time.Hour)
	if !m.success || gaps() != 1 || m.failures[ReasonExit] != 1 || m.listedAt["1"] != at {
		t.Errorf("a listing that failed: success %v, %d gaps, %v", m.success, gaps(), m.failures)
	}
}

// TestArchivedIsBounded holds that successes of the archiver are forgotten once a
// newer one was seen, and are few in any case.
func TestArchivedIsBounded(t *testing.T) {
	s := newStub(t, Config{})
	for i := range 3 * maxArchived {
		s.Archived(Archived{Segment: seg(1, uint64(i)), Time: time.Unix(int64(1795380900+i), 0)})
		s.Archived(Archived{})
	}
	if n := len(s.archived); n != maxArchived {
		t.Errorf("%d are remembered", n)
	}
	s.after(t)
	s.Archived(Archived{Segment: seg(1, 8), Time: time.Unix(1795390000, 0)})
	expect(t, s.after(t), map[string]float64{"backup_repository_newest_recoverable_timestamp_seconds{main,1}": 1795390000})
	if n := len(s.archived); n != 1 {
		t.Errorf("%d are remembered after the last was seen", n)
	}
}
