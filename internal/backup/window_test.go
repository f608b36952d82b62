package backup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// day is the end of a day's backup.
func day(n int) time.Time { return time.Date(2026, 1, n, 3, 0, 0, 0, time.UTC) }

func segment(t testing.TB, name string) Segment {
	t.Helper()
	s, err := ParseSegment(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seg is a segment by timeline and place, of 16 MB unless size says another.
func seg(timeline uint32, place uint64) Segment { return newGeometry(0).at(timeline, place) }

// full is a sound full backup of a day, with the segments from 10 times the day to one more.
func full(timeline uint32, n int) Backup {
	return Backup{
		Label: day(n).Format("0102F"), Type: Full, Stop: day(n), Start: day(n).Add(-time.Hour),
		StartWAL: seg(timeline, uint64(10*n)), StopWAL: seg(timeline, uint64(10*n+1)),
	}
}

func on(prior Backup, kind Type, n int) Backup {
	b := full(prior.StartWAL.Timeline, n)
	b.Type, b.Prior, b.Label = kind, prior.Label, prior.Label+day(n).Format("_0102")
	return b
}

func wal(timeline uint32, first, last uint64, missing ...uint64) WALRange {
	r := WALRange{Timeline: timeline, First: seg(timeline, first), Last: seg(timeline, last), Checked: true}
	for _, m := range missing {
		r.Missing = append(r.Missing, SegmentRange{seg(timeline, m), seg(timeline, m)})
	}
	return r
}

func with(b Backup, change func(*Backup)) Backup {
	change(&b)
	return b
}

func damaged(b *Backup) { b.Damaged = true }

func TestWindow(t *testing.T) {
	one := full(1, 1)
	diff := on(one, Differential, 2)
	incr := on(diff, Incremental, 3)
	from := func(oldest, newest, good int) Window {
		w := Window{Oldest: day(oldest), Newest: day(newest)}
		if good > 0 {
			w.LastGood = day(good)
		}
		return w
	}
	for name, c := range map[string]struct {
		backups  []Backup
		wal      []WALRange
		archived []Archived
		want     Window
	}{
		"nothing at all":             {},
		"no backup":                  {wal: []WALRange{wal(1, 1, 50)}},
		"one backup":                 {backups: []Backup{one}, wal: []WALRange{wal(1, 10, 50)}, want: from(1, 1, 1)},
		"WAL of no more than it":     {backups: []Backup{one}, wal: []WALRange{wal(1, 10, 11)}, want: from(1, 1, 1)},
		"a chain":                    {backups: []Backup{one, diff, incr}, wal: []WALRange{wal(1, 1, 50)}, want: from(1, 3, 3)},
		"its full one is expired":    {backups: []Backup{diff, incr}, wal: []WALRange{wal(1, 1, 50)}},
		"its middle one is gone":     {backups: []Backup{one, incr}, wal: []WALRange{wal(1, 1, 50)}, want: from(1, 1, 1)},
		"its full one is damaged":    {backups: []Backup{with(one, damaged), diff, full(1, 4)}, wal: []WALRange{wal(1, 1, 50)}, want: from(4, 4, 4)},
		"the newest is damaged":      {backups: []Backup{one, with(full(1, 2), damaged)}, wal: []WALRange{wal(1, 1, 50)}, want: from(1, 1, 1)},
		"the newest failed":          {backups: []Backup{one, with(full(1, 2), func(b *Backup) { b.State = Failed })}, wal: []WALRange{wal(1, 1, 50)}, want: from(1, 1, 1)},
		"the newest runs":            {backups: []Backup{one, with(full(1, 2), func(b *Backup) { b.State = Running })}, wal: []WALRange{wal(1, 1, 50)}, want: from(1, 1, 1)},
		"rests on one that failed":   {backups: []Backup{with(one, func(b *Backup) { b.State = Failed }), diff}, wal: []WALRange{wal(1, 1, 50)}},
		"an incremental on nothing":  {backups: []Backup{with(incr, func(b *Backup) { b.Prior = "" })}, wal: []WALRange{wal(1, 1, 50)}},
		"rests on itself":            {backups: []Backup{with(one, func(b *Backup) { b.Prior = b.Label })}, wal: []WALRange{wal(1, 1, 50)}},
		"never ended":                {backups: []Backup{with(one, func(b *Backup) { b.Stop = time.Time{} })}, wal: []WALRange{wal(1, 1, 50)}},
		"its first WAL is expired":   {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 11, 50)}, want: from(2, 2, 2)},
		"its last WAL not archived":  {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 20)}, want: from(1, 1, 1)},
		"unknown WAL of a backup":    {backups: []Backup{with(one, func(b *Backup) { b.StartWAL = Segment{} })}, wal: []WALRange{wal(1, 1, 50)}},
		"unknown stop":               {backups: []Backup{with(one, func(b *Backup) { b.StopWAL = Segment{} })}, wal: []WALRange{wal(1, 1, 50)}, want: from(1, 1, 1)},
		"the archive is empty":       {backups: []Backup{one}, wal: []WALRange{}},
		"the tool knows no archive":  {backups: []Backup{one, full(1, 2)}, want: from(1, 2, 2)},
		"gap before all backups":     {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 50, 5)}, want: from(1, 2, 2)},
		"gap between two":            {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 50, 15)}, want: from(2, 2, 2)},
		"gap at a backup's start":    {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 50, 10)}, want: from(2, 2, 2)},
		"gap at a backup's stop":     {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 50, 21)}, want: Window{LastGood: day(1)}},
		"gap after the newest":       {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 50, 30)}, want: Window{LastGood: day(2)}},
		"two gaps":                   {backups: []Backup{one, full(1, 2), full(1, 3), full(1, 4)}, wal: []WALRange{wal(1, 1, 50, 15, 25)}, want: from(3, 4, 4)},
		"unlisted range":             {backups: []Backup{one}, wal: []WALRange{{Timeline: 1, First: seg(1, 1), Last: seg(1, 50)}}, want: from(1, 1, 1)},
		"archiver":                   {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50)}, archived: []Archived{{Segment: seg(1, 50), Time: day(9)}}, want: from(1, 9, 1)},
		"archiver ahead of the look": {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50)}, archived: []Archived{{Segment: seg(1, 49), Time: day(8)}, {Segment: seg(1, 51), Time: day(9)}}, want: from(1, 8, 1)},
		"archiver elsewhere":         {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50)}, archived: []Archived{{Segment: seg(2, 40), Time: day(9)}, {}}, want: from(1, 1, 1)},
		"archiver before the backup": {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50)}, archived: []Archived{{Segment: seg(1, 5), Time: day(1).Add(-time.Hour)}}, want: from(1, 1, 1)},
		"archiver of another":        {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50)}, archived: []Archived{{seg(1, 50), day(9), 12}}, want: from(1, 1, 1)},
		"archiver and no window":     {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50, 30)}, archived: []Archived{{Segment: seg(1, 50), Time: day(9)}}, want: Window{LastGood: day(1)}},

		"switch of timeline":           {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 29), wal(2, 30, 50)}, want: from(1, 1, 1)},
		"switch, partial archived":     {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 30), wal(2, 30, 50)}, want: from(1, 1, 1)},
		"switch, old one went on":      {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 40, 35), wal(2, 30, 50)}, want: from(1, 1, 1)},
		"switch, hole before":          {backups: []Backup{one, full(2, 4)}, wal: []WALRange{wal(1, 1, 28), wal(2, 30, 50)}, want: from(4, 4, 4)},
		"switch, gap in the old":       {backups: []Backup{one, full(2, 4)}, wal: []WALRange{wal(1, 1, 29, 20), wal(2, 30, 50)}, want: from(4, 4, 4)},
		"switch, gap in the new":       {backups: []Backup{one, full(2, 4)}, wal: []WALRange{wal(1, 1, 29), wal(2, 30, 50, 35)}, want: from(4, 4, 4)},
		"left in a backup's last":      {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 20), wal(2, 11, 50)}, want: Window{LastGood: day(1)}},
		"left before a backup":         {backups: []Backup{one, full(1, 2)}, wal: []WALRange{wal(1, 1, 50), wal(2, 15, 50)}, want: from(1, 1, 2)},
		"left after a backup's last":   {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 11), wal(2, 12, 50)}, want: from(1, 1, 1)},
		"two switches":                 {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 20), wal(2, 20, 30), wal(3, 30, 40)}, want: from(1, 1, 1)},
		"two switches in one segment":  {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 19), wal(2, 20, 20), wal(3, 20, 40)}, want: from(1, 1, 1)},
		"a branch nobody took":         {backups: []Backup{one, full(2, 3)}, wal: []WALRange{wal(1, 1, 45), wal(2, 20, 40), wal(3, 25, 60)}, want: from(1, 1, 3)},
		"ends of timelines unknown":    {backups: []Backup{one, full(2, 3)}, wal: []WALRange{{Timeline: 1, First: seg(1, 1)}, {Timeline: 2, Last: seg(2, 50)}}, want: from(1, 3, 3)},
		"unknown between":              {backups: []Backup{one, full(2, 3)}, wal: []WALRange{{Timeline: 1, First: seg(1, 1)}, {Timeline: 2}, {Timeline: 3, Last: seg(3, 50)}}, want: from(1, 3, 3)},
		"ended on another timeline":    {backups: []Backup{with(one, func(b *Backup) { b.StopWAL = seg(2, 11) })}, wal: []WALRange{wal(1, 1, 50), wal(2, 11, 50)}},
		"timeline without a range":     {backups: []Backup{full(7, 1)}, wal: []WALRange{wal(1, 1, 50)}},
		"a timeline from the very 0th": {backups: []Backup{one}, wal: []WALRange{wal(1, 1, 50), wal(2, 0, 50)}, want: Window{LastGood: day(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := window(Repository{Backups: c.backups, WAL: c.wal, System: 11}, 0, c.archived)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSegments holds the arithmetic at the ends of logs, for sizes of segments.
func TestSegments(t *testing.T) {
	for _, c := range []struct {
		size       uint64
		last, next string
	}{
		{0, "0000000100000000000000FF", "000000010000000100000000"},
		{16 << 20, "00000001000000FF000000FF", "000000010000010000000000"},
		{1 << 20, "0000000100000000000000FF", "000000010000000000000100"},
		{1 << 20, "000000010000000000000FFF", "000000010000000100000000"},
		{64 << 20, "00000001000000000000003F", "000000010000000100000000"},
		{1 << 30, "000000010000000000000003", "000000010000000100000000"},
		{3, "0000000100000000000000FF", "000000010000000100000000"},
	} {
		g := newGeometry(c.size)
		last := segment(t, c.last)
		if next := g.at(1, g.place(last)+1); next.String() != c.next || !g.fits(last) {
			t.Errorf("%d bytes: after %s comes %v, want %s", c.size, c.last, next, c.next)
		}
	}
	for _, name := range []string{"", "0000000100000000000000F", "00000001000000000000000G", "000000000000000000000001", "+00000010000000000000001"} {
		if s, err := ParseSegment(name); err == nil {
			t.Errorf("%q is taken for segment %v", name, s)
		}
	}
}
