package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxWalks bounds the backups whose segments are listed, to the newest.
const maxWalks = 200

// barmanShown are the details of a complete backup, as show-backup has them.
type barmanShown struct {
	ClusterSize number `json:"cluster_size_bytes"` // from 3.11 on
	Base        struct {
		BeginTime barmanTime `json:"begin_time"`
		EndTime   barmanTime `json:"end_time"`
		BeginWAL  string     `json:"begin_wal"`
		BeginLSN  string     `json:"begin_lsn"`
		EndWAL    string     `json:"end_wal"`
		EndLSN    string     `json:"end_lsn"`
		// What this backup added: a file that rsync found in the backup before is
		// not copied, but linked. The first is of releases until 3.10, the second of
		// those from 3.11 on.
		Incremental number `json:"incremental_size_bytes"`
		Own         number `json:"backup_size_bytes"`
	} `json:"base_backup_information"`
	Catalog struct {
		// Root is the full backup at the beginning of an incremental one's chain. Barman
		// removes a backup together with all that rest on it, so those between are there
		// as long as this one is.
		Root string `json:"root_backup_id"`
	} `json:"catalog_information"`
	WAL struct {
		// Last is the newest archived segment of the backup's timeline, or of the next
		// backup, where there is one. Null is none.
		Last string `json:"last_available"`
	} `json:"wal_information"`

	begin, end, last Segment
}

// barmanTime is a moment with its zone, as 2026-01-31 12:00:00.5+01:00. Releases
// before 3.1 count the seconds since 1970, the only other form there is of it, in
// a wrong zone: by an hour in summer.
type barmanTime time.Time

// UnmarshalText reads the form that is right in all releases.
func (b *barmanTime) UnmarshalText(text []byte) error {
	t, err := time.Parse("2006-01-02 15:04:05Z07:00", string(text))
	if err != nil {
		return fmt.Errorf("%.40q is not a time with its zone", text)
	}
	*b = barmanTime(t)
	return nil
}

// detail asks for the details of the backups that matter most, and fills them in.
func (b barman) detail(ctx context.Context, backups []Backup) ([]barmanShown, error) {
	var details []barmanShown
	for _, place := range telling(backups) {
		shown, err := b.show(ctx, backups[place].Label)
		if err != nil {
			return nil, err
		}
		shown.fill(&backups[place])
		details = append(details, shown)
	}
	return details, nil
}

// telling are the places of the newest complete backup of each type and of the
// oldest.
func telling(backups []Backup) []int {
	var wanted []int
	add := func(place int) {
		if place >= 0 && !slices.Contains(wanted, place) {
			wanted = append(wanted, place)
		}
	}
	newest := map[Type]int{Full: -1, Incremental: -1}
	oldest := -1
	for i, b := range backups {
		if b.State == Done {
			newest[b.Type] = i
			if oldest < 0 {
				oldest = i
			}
		}
	}
	add(newest[Full])
	add(newest[Incremental])
	add(oldest)
	return wanted
}

func (b barman) show(ctx context.Context, id string) (barmanShown, error) {
	var s barmanShown
	own, err := b.reply(ctx, "show-backup", b.server, id)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(own, &s)
	for _, part := range []struct {
		name string
		to   *Segment
	}{{s.Base.BeginWAL, &s.begin}, {s.Base.EndWAL, &s.end}, {s.WAL.Last, &s.last}} {
		if err == nil && part.name != "" {
			*part.to, err = ParseSegment(part.name)
		}
	}
	if err != nil {
		return s, unclear("understand the answer of barman show-backup: %w", err)
	}
	return s, nil
}

// fill completes a backup of the list.
func (s barmanShown) fill(b *Backup) {
	b.Start = time.Time(s.Base.BeginTime)
	if end := time.Time(s.Base.EndTime); !end.IsZero() {
		b.Stop = end
	}
	b.StartWAL, b.StopWAL = s.begin, s.end
	b.Prior = s.Catalog.Root
	b.Database = s.ClusterSize.bytes()
	if own := s.Base.Own; own.known {
		b.StoredDelta = own.bytes()
	} else {
		b.StoredDelta = s.Base.Incremental.bytes()
	}
}

// segmentSize finds wal_segment_size from where the backup ended, else began; 0 is
// not known.
func (s barmanShown) segmentSize() uint64 {
	// The end is the first byte after it, and may be that of the next segment.
	return cmp.Or(sizeOfSegments(parseLSN(s.Base.EndLSN)-1, s.end), sizeOfSegments(parseLSN(s.Base.BeginLSN), s.begin))
}

// parseLSN reads a position such as 0/9000028; 0 is none.
func parseLSN(text string) uint64 {
	high, low, _ := strings.Cut(text, "/")
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0
	}
	return h<<32 | l
}

// reach tells from where to where WAL is archived, as far as the details say.
// Barman tells of a new timeline's WAL only when there is a backup of it.
func reach(details []barmanShown) []WALRange {
	if details == nil {
		return nil
	}
	all := []WALRange{}
	for _, d := range details {
		if d.begin.IsZero() || d.last.Timeline != d.begin.Timeline {
			continue
		}
		i := slices.IndexFunc(all, func(w WALRange) bool { return w.Timeline == d.begin.Timeline })
		if i < 0 {
			all = append(all, WALRange{Timeline: d.begin.Timeline, First: d.begin, Last: d.last})
			continue
		}
		all[i].First = slices.MinFunc([]Segment{all[i].First, d.begin}, compareSegments)
		all[i].Last = slices.MaxFunc([]Segment{all[i].Last, d.last}, compareSegments)
	}
	slices.SortFunc(all, func(a, b WALRange) int { return compareSegments(a.First, b.First) })
	return all
}

// listBarman lists the archived segments of each complete backup until the next
// one, and so all that Barman keeps, and tells what is missing between. It is a
// command a backup, of half a second. Barman lists its catalogue of the archive and
// does not look at the files: it sees a segment that never came, but one that
// somebody removed only after barman rebuild-xlogdb.
func listBarman(ctx context.Context, c Config, run ask, r Report) (map[string][]WALRange, error) {
	b := barman{server: c.Stanza, run: run}
	listed := map[string][]WALRange{}
	for _, repository := range r.Repositories {
		ranges, err := b.archived(ctx, repository.Backups, newGeometry(r.SegmentSize))
		if err != nil {
			return nil, err
		}
		listed[repository.Name] = ranges
	}
	return listed, nil
}

// archived lists the segments from the oldest complete backup on.
func (b barman) archived(ctx context.Context, backups []Backup, g geometry) ([]WALRange, error) {
	complete := slices.DeleteFunc(slices.Clone(backups), func(b Backup) bool { return b.State != Done })
	complete = complete[max(0, len(complete)-maxWalks):]
	places := map[uint32][]uint64{}
	for _, backup := range complete {
		segments, err := b.walk(ctx, backup.Label)
		if err != nil {
			return nil, err
		}
		for _, s := range segments {
			if !g.fits(s) {
				return nil, unclear("barman list-files lists segment %v, which no server with a wal_segment_size of %d bytes has", s, g.size)
			}
			places[s.Timeline] = append(places[s.Timeline], g.place(s))
		}
	}
	var ranges []WALRange
	for _, timeline := range slices.Sorted(maps.Keys(places)) {
		ranges = append(ranges, g.rangeOf(timeline, places[timeline]))
	}
	return ranges, nil
}

// walk lists the archived segments from a backup's first to the last of the next
// backup or, of the newest, to the end of its timeline.
func (b barman) walk(ctx context.Context, id string) ([]Segment, error) {
	all, status, err := b.ask(ctx, "list-files", "--target", "wal", b.server, id)
	if err != nil {
		return nil, err
	}
	if said := complaint(all); said != "" || status != 0 {
		return nil, failed("list-files", status, said)
	}
	var files []string
	if info, ok := all["_INFO"]; ok {
		if err := json.Unmarshal(info, &files); err != nil {
			return nil, unclear("understand the answer of barman list-files: %w", err)
		}
	}
	var segments []Segment
	for _, file := range files {
		name := path.Base(file)
		if strings.HasSuffix(name, ".history") {
			continue
		}
		s, err := ParseSegment(name)
		if err != nil {
			return nil, unclear("understand the answer of barman list-files: %w", fmt.Errorf("%.80q: %w", file, err))
		}
		segments = append(segments, s)
	}
	return segments, nil
}
