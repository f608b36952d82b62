package backup

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Archived is the last success of the server's own archiver, from pg_stat_archiver.
// The zero value is that nobody knows.
type Archived struct {
	Segment Segment
	Time    time.Time
	// System is the server's system identifier; 0 is unknown. The archiver of
	// another cluster proves nothing.
	System uint64
}

// Window is what a repository can be proven to restore. Without a backup that
// can, it is zero.
type Window struct {
	// Oldest and Newest are the first and the last moment that can be restored.
	Oldest, Newest time.Time
	// LastGood is when the newest backup ended that is undamaged, with all that it
	// rests on and the WAL that makes it consistent. Such a backup may lie before a
	// gap, outside the window.
	LastGood time.Time
}

// window proves what can be restored of a repository. size is wal_segment_size;
// archived are successes of the archiver, in any order.
//
// The oldest moment is the end of the oldest good backup from which WAL goes on
// without a known gap, from its first segment through that which makes it
// consistent to the last one archived. A good backup has completed, without
// damage, and so has each one it rests on.
//
// Only what the tool tells can refute: ends of ranges that it does not know, and
// segments in ranges that nobody has listed, are taken to be there. A tool that
// tells nothing of the archive has its backups taken at their word.
//
// # Timelines
//
// A new timeline begins in the segment in which it left the older one, and that
// segment is archived under the new timeline's name; under the old one it may be
// missing or partial. So WAL goes on from timeline a to a later b where all of a
// is there up to the segment before the first of b. Histories are not read: any
// older timeline that fits is taken for the parent. A backup must have been
// consistent before the switch: the last segment it needs comes before the first
// of the timeline. (Ending a backup switches segments, so a timeline that begins in
// the very segment has left before the end.) What an old primary archives after the
// switch, and what it misses, does not count.
//
// WAL goes to the end of the highest timeline. The archiver's success moves the
// newest moment only when it is of that timeline, and of a segment that the tool
// has: the last one may have been archived since the tool was asked.
func window(r Repository, size uint64, archived []Archived) Window {
	p := newProof(r, size)
	var w Window
	for _, b := range p.good {
		if p.consistent(b) && b.Stop.After(w.LastGood) {
			w.LastGood = b.Stop
		}
		if !p.continuous(b) {
			continue
		}
		if w.Oldest.IsZero() || b.Stop.Before(w.Oldest) {
			w.Oldest = b.Stop
		}
		if b.Stop.After(w.Newest) {
			w.Newest = b.Stop
		}
	}
	if w.Oldest.IsZero() {
		return w
	}
	for _, a := range archived {
		if p.holds(a) && a.Time.After(w.Newest) {
			w.Newest = a.Time
		}
	}
	return w
}

// proof is what a window is derived from.
type proof struct {
	geometry
	system uint64
	good   []Backup
	silent bool // the tool tells nothing of the archive
	ranges []WALRange
	// onward tells of each range whether WAL goes on from its first segment to the
	// end.
	onward []bool
}

func newProof(r Repository, size uint64) *proof {
	p := &proof{geometry: newGeometry(size), system: r.System, good: goodBackups(r.Backups), silent: r.WAL == nil, ranges: r.WAL}
	// From the last to the first, as WAL only goes on to later timelines.
	p.onward = make([]bool, len(p.ranges))
	for i := len(p.ranges) - 1; i >= 0; i-- {
		first := p.ranges[i].First
		p.onward[i] = p.reaches(i, first, p.place(first))
	}
	return p
}

// find returns the range of a timeline, or -1.
func (p *proof) find(timeline uint32) int {
	return slices.IndexFunc(p.ranges, func(r WALRange) bool { return r.Timeline == timeline })
}

// goodBackups are those that have completed without damage, and have all that
// they rest on. As they are in the order they ended, that comes before them.
func goodBackups(all []Backup) []Backup {
	var out []Backup
	good := make(map[string]bool, len(all))
	for _, b := range all {
		whole := b.Type == Full
		if b.Prior != "" {
			whole = good[b.Prior]
		}
		if whole && b.State == Done && !b.Damaged && !b.Stop.IsZero() {
			good[b.Label] = true
			out = append(out, b)
		}
	}
	return out
}

// needed are the first and the last segment that make a backup consistent.
func needed(b Backup) (first, last Segment) {
	if b.StopWAL.IsZero() {
		return b.StartWAL, b.StartWAL
	}
	return b.StartWAL, b.StopWAL
}

// consistent reports whether the segments that make a backup consistent are there.
func (p *proof) consistent(b Backup) bool {
	if p.silent {
		return true
	}
	first, last := needed(b)
	i := p.find(first.Timeline)
	return i >= 0 && first.Timeline == last.Timeline && p.unbroken(i, first, last)
}

// continuous reports whether WAL goes on from a backup's first segment to the end.
func (p *proof) continuous(b Backup) bool {
	if p.silent {
		return true
	}
	first, last := needed(b)
	return p.consistent(b) && p.reaches(p.find(first.Timeline), first, p.place(last)+1)
}

// reaches reports whether WAL goes on from a segment of a range to the end, and
// leaves the range's timeline no earlier than at a place.
func (p *proof) reaches(i int, from Segment, least uint64) bool {
	if i == len(p.ranges)-1 {
		return p.unbroken(i, from, p.ranges[i].Last)
	}
	for j := i + 1; j < len(p.ranges); j++ {
		next := p.ranges[j].First
		switch {
		case !p.onward[j] || !next.IsZero() && p.place(next) < least:
		case next.IsZero() && p.unbroken(i, from, from), // nobody knows where it left
			p.place(next) == p.place(from),
			p.place(next) > 0 && p.unbroken(i, from, p.at(from.Timeline, p.place(next)-1)):
			return true
		}
	}
	return false
}

// unbroken reports whether nothing is known to be missing of a range between two
// segments, both included. An unknown one is the range's own end.
func (p *proof) unbroken(i int, from, to Segment) bool {
	r := p.ranges[i]
	begin, end := uint64(0), uint64(math.MaxUint64)
	if !r.First.IsZero() {
		begin = p.place(r.First)
	}
	if !r.Last.IsZero() {
		end = p.place(r.Last)
	}
	a, z := begin, end
	if !from.IsZero() {
		a = p.place(from)
	}
	if !to.IsZero() {
		z = p.place(to)
	}
	if a < begin || z > end {
		return false
	}
	i, _ = slices.BinarySearchFunc(r.Missing, a, func(m SegmentRange, a uint64) int { return cmp.Compare(p.place(m.Last), a) })
	return i == len(r.Missing) || p.place(r.Missing[i].First) > z
}

// holds reports whether what the server archived is there, and on the timeline
// that WAL goes to.
func (p *proof) holds(a Archived) bool {
	other := a.System != 0 && p.system != 0 && a.System != p.system
	if len(p.ranges) == 0 || other {
		return false
	}
	i, s := len(p.ranges)-1, a.Segment
	return s.Timeline == p.ranges[i].Timeline && !p.ranges[i].Last.IsZero() && p.unbroken(i, s, s)
}
