package backup

import "slices"

// compareSegments orders by timeline, then by place.
func compareSegments(a, b Segment) int {
	return slices.Compare([]uint32{a.Timeline, a.Log, a.Seg}, []uint32{b.Timeline, b.Log, b.Seg})
}

// sizeOfSegments is the wal_segment_size with which a position in the WAL lies in
// a segment; 0 where none does. In the first segment of a log any does, and 0 is
// the answer too.
func sizeOfSegments(lsn uint64, s Segment) uint64 {
	if uint32(lsn>>32) != s.Log || s.Seg == 0 {
		return 0
	}
	for size := uint64(1 << 20); size <= 1<<30; size <<= 1 {
		if uint64(uint32(lsn))/size == uint64(s.Seg) {
			return size
		}
	}
	return 0
}

// holding is the segment in which a position of a timeline lies.
func (g geometry) holding(timeline uint32, lsn uint64) Segment {
	return g.at(timeline, lsn/g.size)
}

// join makes ranges of segments, which are sorted, without duplicates, and of one
// timeline.
func (g geometry) join(segments []Segment) []SegmentRange {
	var all []SegmentRange
	for _, s := range segments {
		if last := len(all) - 1; last >= 0 && g.place(all[last].Last)+1 == g.place(s) {
			all[last].Last = s
		} else {
			all = append(all, SegmentRange{s, s})
		}
	}
	return all
}
