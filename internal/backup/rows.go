package backup

import (
	"strconv"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// maxTimelines bounds the timelines shown of a repository, newest first.
const maxTimelines = 32

// statuses and reasons are all there are.
func statuses() []Status { return []Status{StatusOK, StatusMissing, StatusEmpty, StatusError} }

func reasons() []Reason {
	return []Reason{ReasonTimeout, ReasonStart, ReasonExit, ReasonSize, ReasonFormat, ReasonRepository}
}

// table gathers the rows of a collector.
type table struct {
	collector string
	rows      *spec.Rows
	err       error
}

func newTable(collector string, labels []string, metrics ...string) *table {
	var columns []spec.Column
	for _, l := range labels {
		columns = append(columns, spec.Column{Name: l, Kind: spec.Text})
	}
	for _, m := range metrics {
		columns = append(columns, spec.Column{Name: m, Kind: spec.Value})
	}
	return &table{collector: collector, rows: spec.NewRows(columns)}
}

func (t *table) add(labels []string, values ...float64) {
	for _, l := range labels {
		t.rows.AppendText([]byte(l))
	}
	for _, v := range values {
		t.rows.AppendValue(v)
	}
	if err := t.rows.EndRow(); err != nil && t.err == nil {
		t.err = err
	}
}

// page is the tables of all collectors, with the rows of one source or several.
type page struct {
	backups, repositories, status, wal, checks, look, failures *table

	source []string // values of the labels that all have, of the source being added
}

func newPage() *page {
	source := []string{"tool", "stanza"}
	repo := append(source[:2:2], "repo")
	with := func(labels []string, more string) []string { return append(labels[:len(labels):len(labels)], more) }
	return &page{
		backups: newTable("backup", with(repo, "type"), "last_start_timestamp_seconds", "last_stop_timestamp_seconds",
			"last_duration_seconds", "last_database_bytes", "last_delta_bytes", "last_repository_bytes",
			"last_repository_delta_bytes", "last_damaged", "last_attempt_failed", "completed"),
		repositories: newTable("backup_repository", repo, "running", "running_since_timestamp_seconds",
			"last_good_timestamp_seconds", "oldest_recoverable_timestamp_seconds", "newest_recoverable_timestamp_seconds",
			"recovery_window_seconds", "last_look_timestamp_seconds", "last_wal_list_timestamp_seconds"),
		status: newTable("backup_status", with(repo, "status"), "pg_backup_repository_status"),
		wal:    newTable("backup_wal", with(repo, "timeline"), "start_bytes", "end_bytes", "gaps", "missing_segments"),
		checks: newTable("backup_check", with(source, "check"), "success"),
		look: newTable("backup_look", source, "pg_backup_last_look_timestamp_seconds", "success", "duration_seconds",
			"pg_backup_restore_proven_timestamp_seconds"),
		failures: newTable("backup_look_failures", with(source, "reason"), "pg_backup_look_failures_total"),
	}
}

// add adds what m holds of a source. listsFailures says that the tool lists failed
// backups.
func (p *page) add(c Config, listsFailures bool, m *memory, archived []Archived) {
	p.source = []string{c.Label(), c.Stanza}
	success, took := spec.Absent(), spec.Absent()
	if m.done {
		success, took = truth(m.success), m.took.Seconds()
	}
	p.look.add(p.source, moment(m.lastLook), success, took, moment(m.report.RestoreProven))
	for _, reason := range reasons() {
		p.failures.add(p.labels(string(reason)), m.failures[reason])
	}
	for _, check := range m.report.Checks {
		p.checks.add(p.labels(check.Name), truth(check.OK))
	}
	for _, r := range m.report.Repositories {
		p.repository(r, m, archived)
		p.types(r, listsFailures)
		p.ranges(r, newGeometry(m.report.SegmentSize))
	}
}

// readings are the tables as collectors want them.
func (p *page) readings() []spec.Reading {
	var out []spec.Reading
	for _, t := range []*table{p.backups, p.repositories, p.status, p.wal, p.checks, p.look, p.failures} {
		out = append(out, spec.Reading{Collector: t.collector, Rows: t.rows, Err: t.err})
	}
	return out
}

// labels are the source's with more.
func (p *page) labels(more ...string) []string { return append(p.source[:2:2], more...) }

func (p *page) repository(r Repository, m *memory, archived []Archived) {
	for _, status := range statuses() {
		p.status.add(p.labels(r.Name, string(status)), truth(r.Status == status))
	}
	w := window(r, m.report.SegmentSize, archived)
	length := spec.Absent()
	if !w.Oldest.IsZero() {
		length = w.Newest.Sub(w.Oldest).Seconds()
	}
	p.repositories.add(p.labels(r.Name), truth(r.Running), moment(r.RunningSince), moment(w.LastGood), moment(w.Oldest),
		moment(w.Newest), length, moment(m.read[r.Name]), moment(m.listedAt[r.Name]))
}

// types tells of each type that the repository has had, and of full backups always:
// that there is none is a fact.
func (p *page) types(r Repository, listsFailures bool) {
	for _, kind := range []Type{Full, Differential, Incremental} {
		var last *Backup
		completed, attempts, failed := 0.0, 0, spec.Absent()
		if listsFailures {
			failed = 0
		}
		for i, b := range r.Backups {
			if b.Type != kind || b.State == Running {
				continue
			}
			attempts++
			if listsFailures {
				failed = truth(b.State == Failed)
			}
			if b.State == Done {
				completed++
				last = &r.Backups[i]
			}
		}
		labels := p.labels(r.Name, string(kind))
		none := spec.Absent()
		switch {
		case last != nil:
			took := none
			if !last.Start.IsZero() && !last.Stop.IsZero() {
				took = last.Stop.Sub(last.Start).Seconds()
			}
			p.backups.add(labels, moment(last.Start), moment(last.Stop), took, last.Database, last.Delta, last.Stored,
				last.StoredDelta, truth(last.Damaged), failed, completed)
		case attempts > 0 || kind == Full:
			p.backups.add(labels, none, none, none, none, none, none, none, none, failed, completed)
		}
	}
}

func (p *page) ranges(r Repository, g geometry) {
	for _, w := range r.WAL[max(0, len(r.WAL)-maxTimelines):] {
		start, end, gaps, missing := spec.Absent(), spec.Absent(), spec.Absent(), spec.Absent()
		if !w.First.IsZero() {
			start = float64(g.place(w.First)) * float64(g.size)
		}
		if !w.Last.IsZero() {
			end = float64(g.place(w.Last)+1) * float64(g.size)
		}
		if w.Checked {
			gaps, missing = float64(len(w.Missing)), 0
			for _, m := range w.Missing {
				missing += float64(g.place(m.Last) - g.place(m.First) + 1)
			}
		}
		p.wal.add(p.labels(r.Name, strconv.FormatUint(uint64(w.Timeline), 10)), start, end, gaps, missing)
	}
}

// moment is a time in Unix seconds, absent where it is zero.
func moment(t time.Time) float64 {
	if t.IsZero() {
		return spec.Absent()
	}
	return float64(t.UnixMilli()) / 1000
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
