package backup

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// outcome is what one look came to.
type outcome struct {
	at     time.Time
	took   time.Duration
	report Report
	err    error
	// tried says that the archive was listed too, by repository.
	tried   bool
	listed  map[string][]WALRange
	listErr error
}

// memory is what looks have left. Reports in it are not changed any more.
type memory struct {
	attempt  time.Time // when the last look began
	done     bool      // one has ended
	success  bool      // the last one that ended
	took     time.Duration
	lastLook time.Time // when the last successful one began
	failures map[Reason]float64

	told       Report               // as the tool has it
	report     Report               // with what listings found
	read       map[string]time.Time // of repositories, when they could last be read
	listed     map[string][]WALRange
	listedAt   map[string]time.Time
	nextList   time.Time
	saidLook   Reason // what the log has
	saidList   Reason
	sawRunning map[string]time.Time
}

func newMemory() memory {
	return memory{
		failures: map[Reason]float64{}, read: map[string]time.Time{}, listed: map[string][]WALRange{},
		listedAt: map[string]time.Time{}, sawRunning: map[string]time.Time{},
	}
}

// errUnread is that the tool answers, and all repositories are away.
var errUnread = errors.New("the tool can read none of its repositories")

// take takes note of a look. It returns why the look or the listing failed.
func (m *memory) take(o outcome, every time.Duration) (look, list error) {
	m.done, m.took = true, o.took
	err := o.err
	if err == nil {
		err = m.merge(o)
	}
	m.success = err == nil
	if err != nil {
		m.failures[reasonOf(err)]++
	} else {
		m.lastLook = o.at
	}
	if o.tried {
		m.nextList = o.at.Add(every)
		if o.listErr != nil {
			m.failures[reasonOf(o.listErr)]++
		} else if m.list(o) {
			// A segment may be late, as those that are pushed side by side do not arrive in
			// their order: a gap that is new is looked at again with the next look.
			m.nextList = o.at
		}
	}
	m.refine()
	return err, o.listErr
}

// merge takes a report in place of the one before. Repositories that cannot be
// read now keep their facts and get their new status.
func (m *memory) merge(o outcome) error {
	merged := o.report
	merged.Repositories = slices.Clone(o.report.Repositories)
	readable := 0
	for i, r := range merged.Repositories {
		if r.told() {
			readable++
			m.read[r.Name] = o.at
		} else if old := m.told.repository(r.Name); old != nil {
			kept := *old
			kept.Status, kept.Running, kept.RunningSince = r.Status, r.Running, r.RunningSince
			r = kept
		}
		merged.Repositories[i] = m.running(r, o.at)
	}
	m.told = merged
	if readable == 0 && len(merged.Repositories) > 0 {
		return &LookError{ReasonRepository, errUnread}
	}
	return nil
}

// running fills in since when a backup runs, where the tool tells only that it
// does: since the first look that saw it.
func (m *memory) running(r Repository, at time.Time) Repository {
	if !r.Running {
		delete(m.sawRunning, r.Name)
		return r
	}
	if m.sawRunning[r.Name].IsZero() {
		m.sawRunning[r.Name] = at
	}
	if r.RunningSince.IsZero() {
		r.RunningSince = m.sawRunning[r.Name]
	}
	return r
}

// list takes note of a listing and reports whether it found a gap that the one
// before did not have.
func (m *memory) list(o outcome) bool {
	found := false
	for name, ranges := range o.listed {
		before := map[SegmentRange]bool{}
		for _, r := range m.listed[name] {
			for _, gap := range r.Missing {
				before[gap] = true
			}
		}
		for _, r := range ranges {
			found = found || slices.ContainsFunc(r.Missing, func(gap SegmentRange) bool { return !before[gap] })
		}
		m.listed[name], m.listedAt[name] = ranges, o.at
	}
	maps.DeleteFunc(m.listed, func(name string, _ []WALRange) bool { return m.told.repository(name) == nil })
	return found
}

// refine makes the report of what the tool told and what listings found.
func (m *memory) refine() {
	m.report = m.told
	m.report.Repositories = slices.Clone(m.told.Repositories)
	for i := range m.report.Repositories {
		r := &m.report.Repositories[i]
		r.WAL = refine(r.WAL, m.listed[r.Name], newGeometry(m.report.SegmentSize))
	}
}

// repository returns the repository of a name, nil if there is none.
func (r *Report) repository(name string) *Repository {
	for i := range r.Repositories {
		if r.Repositories[i].Name == name {
			return &r.Repositories[i]
		}
	}
	return nil
}

// told reports whether a repository's facts are those of this look. What is broken
// may still tell of its backups.
func (r Repository) told() bool { return r.Status.readable() || len(r.Backups) > 0 }
