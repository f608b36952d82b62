package backup

import (
	"cmp"
	"math"
	"slices"
)

// wal reads what is archived of each timeline. An empty list says that nothing is,
// and is not nil.
func (f *form) wal(key string, n node) []WALRange {
	all := []WALRange{}
	for _, item := range f.list(key, n) {
		r := f.walRange(item)
		if slices.ContainsFunc(all, func(o WALRange) bool { return o.Timeline == r.Timeline }) {
			f.failf(item, "timeline %d for the second time: give one range, and what is missing in it", r.Timeline)
			return nil
		}
		all = append(all, r)
	}
	return all
}

func (f *form) walRange(n node) WALRange {
	var r WALRange
	var timeline float64
	values := f.object("an item of wal", n, []string{"timeline", "first", "last"}, map[string]entry{
		"timeline": f.number(&timeline),
		"first":    f.segment(&r.First),
		"last":     f.segment(&r.Last),
		"missing":  func(key string, n node) { r.Missing, r.Checked = f.missing(key, n), true },
	})
	if timeline < 1 || timeline > math.MaxUint32 {
		f.failf(values["timeline"], "timeline is not a number from 1 to %d", uint32(math.MaxUint32))
		return r
	}
	r.Timeline = uint32(timeline)
	if r.First.Timeline != r.Timeline {
		f.failf(values["first"], "first is not of timeline %d", r.Timeline)
	}
	f.span(values["last"], r.First, r.Last)
	for i, gap := range r.Missing {
		n := values["missing"].items[i]
		// The ends are there: what is missing before or after is not part of the range.
		if !isBefore(r.First, gap.First) || !isBefore(gap.Last, r.Last) {
			f.failf(n, "what is missing is not between first and last")
		}
	}
	slices.SortFunc(r.Missing, func(a, b SegmentRange) int { return bySegment(a.First, b.First) })
	for i := 1; i < len(r.Missing); i++ {
		if !isBefore(r.Missing[i-1].Last, r.Missing[i].First) {
			f.failf(values["missing"], "ranges of what is missing overlap")
		}
	}
	return r
}

func (f *form) missing(key string, n node) []SegmentRange {
	var all []SegmentRange
	for _, item := range f.list(key, n) {
		pair := f.list("an item of "+key, item)
		if len(pair) != 2 {
			f.failf(item, "an item of %s is not a list of two segments, the first and the last that are missing", key)
			return nil
		}
		var gap SegmentRange
		f.segment(&gap.First)("the first of "+key, pair[0])
		f.segment(&gap.Last)("the last of "+key, pair[1])
		f.span(pair[1], gap.First, gap.Last)
		all = append(all, gap)
	}
	return all
}

// span holds that a range is of one timeline and does not end before it begins.
func (f *form) span(n node, first, last Segment) {
	if first.Timeline != last.Timeline || isBefore(last, first) {
		f.failf(n, "a range of segments ends before it begins, or on another timeline")
	}
}

// isBefore says whether a is older than b.
func isBefore(a, b Segment) bool { return bySegment(a, b) < 0 }

func bySegment(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.Log, b.Log), cmp.Compare(a.Seg, b.Seg))
}
