package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// primaryStorage is what WAL-G 3 calls the storage at the root of its
// configuration. Older releases know no other and do not name it.
const primaryStorage = "default"

// lookWALG asks WAL-G for its backups and for the archived segments of each
// timeline. A backup that runs or has failed is in no list of WAL-G.
func lookWALG(ctx context.Context, c Config, run ask) (Report, error) {
	var listed []walgBackup
	if err := askWALG(ctx, run, &listed, "backup-list", "--detail", "--json"); err != nil {
		return Report{}, err
	}
	var timelines []walgTimeline
	if err := askWALG(ctx, run, &timelines, "wal-show", "--detailed-json"); err != nil {
		return Report{}, err
	}
	size := cmp.Or(walgSegmentSize(listed), c.SegmentSize)
	wal, err := walgRanges(timelines, newGeometry(size))
	if err != nil {
		return Report{}, err
	}
	repositories, err := walgRepositories(listed, newGeometry(size))
	if err != nil {
		return Report{}, err
	}
	for i := range repositories {
		// wal-show lists the primary storage, whose segments serve any backup.
		repositories[i].WAL = wal
	}
	return Report{Tool: string(WALG), Stanza: c.Stanza, Repositories: repositories, SegmentSize: size}, nil
}

func askWALG(ctx context.Context, run ask, to any, args ...string) error {
	a, err := run(ctx, args...)
	if err != nil {
		return err
	}
	if a.status != 0 { // and says why on standard error
		return exited("wal-g "+args[0], a.status)
	}
	if err := json.Unmarshal(a.out, to); err != nil {
		return unclear("understand the answer of wal-g %s: %w", args[0], err)
	}
	return nil
}

// walgBackup is a backup as backup-list --detail has it.
type walgBackup struct {
	Name         string    `json:"backup_name"`
	Time         time.Time `json:"time"` // when its last file was written
	Segment      string    `json:"wal_file_name"`
	Storage      string    `json:"storage_name"` // from 3.0 on
	Start        time.Time `json:"start_time"`
	Finish       time.Time `json:"finish_time"`
	StartLSN     number    `json:"start_lsn"`
	FinishLSN    number    `json:"finish_lsn"`
	Uncompressed number    `json:"uncompressed_size"`
	Compressed   number    `json:"compressed_size"`
}

// walgName is the form of a backup's name: where it begins and, of a delta, where
// the backup begins that it rests on.
var walgName = regexp.MustCompile(`^base_([0-9A-F]{24})(?:_D_([0-9A-F]{24}))?`)

// walgSegmentSize finds wal_segment_size from where backups began; 0 is not known.
func walgSegmentSize(listed []walgBackup) uint64 {
	for _, l := range listed {
		if s, err := ParseSegment(l.Segment); err == nil && l.StartLSN.known {
			if size := sizeOfSegments(l.StartLSN.value, s); size != 0 {
				return size
			}
		}
	}
	return 0
}

// walgRepositories sorts backups by their storage.
func walgRepositories(listed []walgBackup, g geometry) ([]Repository, error) {
	if len(listed) == 0 {
		return []Repository{{Name: primaryStorage, Status: StatusEmpty}}, nil
	}
	byStorage := make(map[string][]Backup)
	for _, l := range listed {
		b, err := l.backup(g)
		if err != nil {
			return nil, err
		}
		storage := cmp.Or(l.Storage, primaryStorage)
		byStorage[storage] = append(byStorage[storage], b)
	}
	var all []Repository
	for name, backups := range byStorage {
		slices.SortStableFunc(backups, func(a, b Backup) int { return a.Stop.Compare(b.Stop) })
		resolve(backups)
		all = append(all, Repository{Name: name, Status: StatusOK, Backups: backups})
	}
	slices.SortFunc(all, func(a, b Repository) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func (l walgBackup) backup(g geometry) (Backup, error) {
	b := Backup{Label: l.Name, Type: Full, Start: l.Start, Stop: l.Finish, Delta: l.Uncompressed.bytes(), StoredDelta: l.Compressed.bytes(), Database: spec.Absent(), Stored: spec.Absent()}
	if l.Name == "" {
		return b, unclear("wal-g backup-list lists a backup without a name")
	}
	if b.Stop.IsZero() {
		b.Stop = l.Time
	}
	if b.Stop.IsZero() {
		return b, unclear("wal-g backup-list does not tell when backup %.80q ended", l.Name)
	}
	name := walgName.FindStringSubmatch(l.Name)
	if name == nil {
		return b, unclear("wal-g backup-list lists %.80q, which is not the name of a backup of PostgreSQL", l.Name)
	}
	var err error
	if b.StartWAL, err = ParseSegment(name[1]); err != nil {
		return b, unclear("understand the answer of wal-g backup-list: %w", err)
	}
	if l.FinishLSN.known && l.FinishLSN.value > 0 { // which is the first byte after it
		b.StopWAL = g.holding(b.StartWAL.Timeline, l.FinishLSN.value-1)
	}
	if name[2] != "" {
		b.Type, b.Prior = Incremental, "base_"+name[2]
		return b, nil
	}
	b.Database, b.Stored = b.Delta, b.StoredDelta
	return b, nil
}

// resolve completes what deltas rest on: their names have only the beginning of
// that backup's name, which goes on where it is a delta itself.
func resolve(backups []Backup) {
	labels := make(map[string]string, len(backups))
	for _, b := range backups {
		labels[b.Label[:len("base_")+24]] = b.Label
	}
	for i, b := range backups {
		backups[i].Prior = cmp.Or(labels[b.Prior], b.Prior)
	}
}

// walgTimeline is what wal-show has of a timeline.
type walgTimeline struct {
	Start   string   `json:"start_segment"`
	End     string   `json:"end_segment"`
	Missing []string `json:"missing_segments"`
}

func walgRanges(timelines []walgTimeline, g geometry) ([]WALRange, error) {
	all := []WALRange{}
	for _, t := range timelines {
		first, err := ParseSegment(t.Start)
		if err != nil {
			return nil, unclear("understand the answer of wal-g wal-show: %w", err)
		}
		last, err := ParseSegment(t.End)
		if err != nil {
			return nil, unclear("understand the answer of wal-g wal-show: %w", err)
		}
		if first.Timeline != last.Timeline || compareSegments(first, last) > 0 {
			return nil, unclear("wal-g wal-show: %s to %s is not a range of segments", t.Start, t.End)
		}
		missing := make([]Segment, len(t.Missing))
		for i, name := range t.Missing {
			if missing[i], err = ParseSegment(name); err != nil {
				return nil, unclear("understand the answer of wal-g wal-show: %w", err)
			}
		}
		slices.SortFunc(missing, compareSegments)
		missing = slices.Compact(missing)
		all = append(all, WALRange{Timeline: first.Timeline, First: first, Last: last, Missing: g.join(missing), Checked: true})
	}
	slices.SortFunc(all, func(a, b WALRange) int { return compareSegments(a.First, b.First) })
	return all, nil
}
