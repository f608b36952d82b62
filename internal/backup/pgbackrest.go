package backup

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// quiet keeps pgBackRest's log out of its answer and out of files that only its
// own user may write.
var quiet = [...]string{"--log-level-console=off", "--log-level-stderr=warn", "--log-level-file=off"}

// lookPgBackRest asks pgBackRest's info command.
func lookPgBackRest(ctx context.Context, c Config, run ask) (Report, error) {
	a, err := run(ctx, append(quiet[:], "--stanza="+c.Stanza, "--output=json", "info")...)
	if err != nil {
		return Report{}, err
	}
	if a.status != 0 {
		return Report{}, exited("pgbackrest info", a.status)
	}
	return parsePgBackRest(c.Stanza, a.out)
}

// What info prints of each stanza, as of release 2.45. Keys that came later are
// not asked for; those that came only lately may be absent: repo and repo-key
// before 2.32, error before 2.36. With block incremental backups, 2.46 and
// newer, the sizes in the repository are null.
type (
	infoStanza struct {
		Name    string        `json:"name"`
		DB      []infoDB      `json:"db"`
		Repo    []infoRepo    `json:"repo"`
		Archive []infoArchive `json:"archive"`
		Backup  []infoBackup  `json:"backup"`
		Status  infoStatus    `json:"status"`
	}
	infoDB struct {
		ID     int    `json:"id"`
		Key    int    `json:"repo-key"`
		System uint64 `json:"system-id"` // only of stanzas
	}
	infoRepo struct {
		Key    int        `json:"key"`
		Status infoStatus `json:"status"`
	}
	infoStatus struct {
		Code *int `json:"code"`
		Lock struct {
			Backup struct {
				Held bool `json:"held"`
			} `json:"backup"`
		} `json:"lock"`
	}
	infoArchive struct {
		Database infoDB `json:"database"`
		Min      string `json:"min"`
		Max      string `json:"max"`
	}
	infoBackup struct {
		Label    string `json:"label"`
		Prior    string `json:"prior"`
		Type     string `json:"type"`
		Error    bool   `json:"error"`
		Database infoDB `json:"database"`
		Archive  struct {
			Start string `json:"start"`
			Stop  string `json:"stop"`
		} `json:"archive"`
		Timestamp struct {
			Start int64 `json:"start"`
			Stop  int64 `json:"stop"`
		} `json:"timestamp"`
		Info struct {
			Size       *float64 `json:"size"`
			Delta      *float64 `json:"delta"`
			Repository struct {
				Size  *float64 `json:"size"`
				Delta *float64 `json:"delta"`
			} `json:"repository"`
		} `json:"info"`
	}
)

// parsePgBackRest reads what info printed.
func parsePgBackRest(stanza string, out []byte) (Report, error) {
	var all []infoStanza
	if err := json.Unmarshal(out, &all); err != nil {
		return Report{}, unclear("pgbackrest info: %w", err)
	}
	report := Report{Tool: string(PgBackRest), Stanza: stanza}
	i := slices.IndexFunc(all, func(s infoStanza) bool { return s.Name == stanza })
	if i < 0 {
		// What info --stanza prints of one that is not there is a stanza with status 1.
		return Report{}, unclear("pgbackrest info tells nothing of stanza %q", stanza)
	}
	s := all[i]
	if s.Status.Code == nil {
		return Report{}, unclear("pgbackrest info: stanza %q has no status", stanza)
	}
	repositories := s.Repo
	if len(repositories) == 0 {
		repositories = []infoRepo{{Status: s.Status}}
	}
	for _, r := range repositories {
		repository, err := s.repository(r)
		if err != nil {
			return Report{}, err
		}
		report.Repositories = append(report.Repositories, repository)
	}
	return report, nil
}

// repository returns what s tells of one of its repositories. Of the clusters that
// the stanza has held, the newest is the one that runs: nobody can restore it
// from backups made before pg_upgrade.
func (s infoStanza) repository(r infoRepo) (Repository, error) {
	out := Repository{
		// Before 2.32 there is one repository, and its key is 1 from 2.32 on.
		Name:    strconv.Itoa(max(r.Key, 1)),
		Status:  r.Status.status(),
		Running: s.Status.Lock.Backup.Held,
		WAL:     []WALRange{},
	}
	here := infoDB{Key: r.Key}
	for _, db := range s.DB {
		if db.Key == r.Key && db.ID >= here.ID {
			here.ID, out.System = db.ID, db.System
		}
	}
	for _, b := range s.Backup {
		if b.Database != here {
			continue
		}
		backup, err := b.backup()
		if err != nil {
			return Repository{}, err
		}
		out.Backups = append(out.Backups, backup)
	}
	slices.SortStableFunc(out.Backups, func(a, b Backup) int { return a.Stop.Compare(b.Stop) })
	for _, a := range s.Archive {
		if a.Database != here || a.Min == "" && a.Max == "" {
			continue
		}
		first, err := ParseSegment(a.Min)
		if err != nil {
			return Repository{}, unclear("pgbackrest info: archive: %w", err)
		}
		last, err := ParseSegment(a.Max)
		if err != nil {
			return Repository{}, unclear("pgbackrest info: archive: %w", err)
		}
		out.WAL = spanned(first, last, out.Backups)
	}
	return out, nil
}

// status reads info's codes: 0 ok, 1 missing stanza path, 2 no valid backups, 3
// missing stanza data; others say that something cannot be read or does not fit.
func (s infoStatus) status() Status {
	if s.Code == nil {
		return StatusError
	}
	switch *s.Code {
	case 0:
		return StatusOK
	case 1, 3:
		return StatusMissing
	case 2:
		return StatusEmpty
	default:
		return StatusError
	}
}

func (b infoBackup) backup() (Backup, error) {
	kind, ok := map[string]Type{"full": Full, "diff": Differential, "incr": Incremental}[b.Type]
	if !ok {
		return Backup{}, unclear("pgbackrest info: a backup has type %.20q", b.Type)
	}
	if b.Timestamp.Start <= 0 || b.Timestamp.Stop < b.Timestamp.Start {
		return Backup{}, unclear("pgbackrest info: backup %.60q began at %d and ended at %d", b.Label, b.Timestamp.Start, b.Timestamp.Stop)
	}
	out := Backup{
		Label: b.Label, Prior: b.Prior, Type: kind, State: Done, Damaged: b.Error,
		Start: time.Unix(b.Timestamp.Start, 0).UTC(), Stop: time.Unix(b.Timestamp.Stop, 0).UTC(),
		Database: orAbsent(b.Info.Size), Delta: orAbsent(b.Info.Delta),
		Stored: orAbsent(b.Info.Repository.Size), StoredDelta: orAbsent(b.Info.Repository.Delta),
	}
	for _, w := range []struct {
		name string
		into *Segment
	}{{b.Archive.Start, &out.StartWAL}, {b.Archive.Stop, &out.StopWAL}} {
		if w.name == "" { // a backup made without a check of the archive
			continue
		}
		segment, err := ParseSegment(w.name)
		if err != nil {
			return Backup{}, unclear("pgbackrest info: backup %.60q: %w", b.Label, err)
		}
		*w.into = segment
	}
	return out, nil
}

func orAbsent(v *float64) float64 {
	if v == nil {
		return spec.Absent()
	}
	return *v
}

// spanned are the ranges of which only the first and the last segment are known.
// Timelines between are those that a backup knows.
func spanned(first, last Segment, backups []Backup) []WALRange {
	ranges := map[uint32]*WALRange{}
	on := func(timeline uint32) *WALRange {
		if ranges[timeline] == nil {
			ranges[timeline] = &WALRange{Timeline: timeline}
		}
		return ranges[timeline]
	}
	on(first.Timeline).First = first
	on(last.Timeline).Last = last
	for _, b := range backups {
		if t := b.StartWAL.Timeline; t > first.Timeline && t < last.Timeline {
			on(t)
		}
	}
	var out []WALRange
	for _, timeline := range slices.Sorted(maps.Keys(ranges)) {
		out = append(out, *ranges[timeline])
	}
	return out
}
