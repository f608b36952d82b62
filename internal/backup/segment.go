package backup

import (
	"fmt"
	"strconv"
)

// Segment is a WAL segment's place: its timeline and its name's other 16 digits.
// How many bytes that is depends on the server's wal_segment_size.
type Segment struct {
	Timeline uint32
	// Log and Seg are the second and third eight digits of the name.
	Log, Seg uint32
}

// ParseSegment reads the 24 digits of a segment's name.
func ParseSegment(name string) (Segment, error) {
	if len(name) != 24 {
		return Segment{}, fmt.Errorf("%.40q is not the name of a WAL segment", name)
	}
	var parts [3]uint32
	for i := range parts {
		v, err := strconv.ParseUint(name[8*i:8*i+8], 16, 32)
		if err != nil {
			return Segment{}, fmt.Errorf("%.40q is not the name of a WAL segment", name)
		}
		parts[i] = uint32(v)
	}
	s := Segment{Timeline: parts[0], Log: parts[1], Seg: parts[2]}
	if s.Timeline == 0 {
		return Segment{}, fmt.Errorf("%.40q is not the name of a WAL segment: timelines begin at 1", name)
	}
	return s, nil
}

// String returns the segment's name.
func (s Segment) String() string { return fmt.Sprintf("%08X%08X%08X", s.Timeline, s.Log, s.Seg) }

// IsZero reports whether the segment is unknown.
func (s Segment) IsZero() bool { return s == Segment{} }

// geometry is how segments are numbered: 2^32 bytes of WAL are one log, of as
// many segments as fit.
type geometry struct{ size uint64 }

// newGeometry is that of a wal_segment_size, 0 for the default. What is no size
// that PostgreSQL takes is the default too.
func newGeometry(size uint64) geometry {
	if size < 1<<20 || size > 1<<30 || size&(size-1) != 0 {
		size = DefaultSegmentSize
	}
	return geometry{size}
}

// perLog is the number of segments in a log.
func (g geometry) perLog() uint64 { return 1 << 32 / g.size }

// place numbers the segments of all timelines alike, without holes.
func (g geometry) place(s Segment) uint64 { return uint64(s.Log)*g.perLog() + uint64(s.Seg) }

// at is the segment of a timeline at a place.
func (g geometry) at(timeline uint32, place uint64) Segment {
	return Segment{Timeline: timeline, Log: uint32(place / g.perLog()), Seg: uint32(place % g.perLog())}
}

// fits reports whether there can be such a segment.
func (g geometry) fits(s Segment) bool { return uint64(s.Seg) < g.perLog() }
