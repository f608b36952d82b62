// Package backup asks backup tools what they hold: pgBackRest, Barman, WAL-G, and
// files that any other job writes. Whatever the tool, the answer is a Report.
//
// A tool is run at its own interval and never for a scrape, so its page shows
// what the last successful look saw, and when that was. All times are moments;
// how old they are is for the reader to say.
package backup

import (
	"time"
)

// Report is what one look at one stanza tells.
type Report struct {
	// Tool is pgbackrest, barman, wal-g, or what a file says made it.
	Tool string
	// Stanza is pgBackRest's stanza, Barman's server, or the name of the source.
	Stanza string
	// Repositories are the places where backups of the stanza are kept.
	Repositories []Repository
	// Checks are what the tool says of itself: Barman's check, by name.
	Checks []Check
	// RestoreProven is when a restore was last tested and found good; zero is
	// never, as far as is known.
	RestoreProven time.Time
	// SegmentSize is the server's wal_segment_size in bytes; 0 is the default.
	SegmentSize uint64
}

// DefaultSegmentSize is PostgreSQL's wal_segment_size unless initdb was told another.
const DefaultSegmentSize = 16 << 20

// Repository is one place with backups of a stanza.
type Repository struct {
	// Name is pgBackRest's repository key, WAL-G's storage, or empty.
	Name string
	// System is the identifier of the cluster that is backed up; 0 is unknown.
	System uint64
	// Status is the tool's own judgement, of a fixed set fit for a label.
	Status Status
	// Backups are in the order they ended, oldest first; those that run or have
	// failed are among them.
	Backups []Backup
	// Running says whether a backup runs now, which a tool may know without
	// listing one.
	Running bool
	// RunningSince is when the running backup began; zero where that is unknown.
	RunningSince time.Time
	// WAL are the archived ranges, one for each timeline, lowest first. Nil says that
	// the tool does not tell; empty but not nil, that nothing is archived.
	WAL []WALRange
}

// Status is a tool's judgement of a repository.
type Status string

// What a repository's status may be.
const (
	StatusOK      Status = "ok"
	StatusMissing Status = "missing"   // there is no such stanza or repository
	StatusEmpty   Status = "no_backup" // there is no completed backup
	StatusError   Status = "error"     // the tool cannot read it, or says it is broken
)

// Check is one judgement of a tool on itself.
type Check struct {
	Name string
	OK   bool
}

// Backup is one backup, completed or not.
type Backup struct {
	// Label is the tool's own name of it. It never becomes a label on the page.
	Label string
	// Prior is the Label of the backup it rests on; empty for a full one.
	Prior string
	// Type is how much of the database it holds.
	Type Type
	// State is what became of it.
	State State
	// Start and Stop are when it began and ended; zero where the tool does not tell.
	Start, Stop time.Time
	// StartWAL is the segment that a restore begins with, StopWAL the first with
	// which the database is consistent. The zero Segment is unknown.
	StartWAL, StopWAL Segment
	// Damaged says that the backup completed with errors, such as page checksums
	// that did not fit.
	Damaged bool
	// Sizes in bytes; spec.Absent where the tool does not tell. Database is the
	// size of what was backed up and Delta the part that was copied; Stored is the
	// size in the repository of all that a restore needs, StoredDelta of what this
	// backup added.
	Database, Delta, Stored, StoredDelta float64
}

// Type is how much of the database a backup holds.
type Type string

// The types of backups.
const (
	Full         Type = "full"
	Differential Type = "differential" // what changed since the last full one
	Incremental  Type = "incremental"  // what changed since the last one of any type
)

// State is what became of a backup.
type State uint8

// The states of a backup.
const (
	Done State = iota
	Failed
	Running
)

// WALRange is what is archived of one timeline.
type WALRange struct {
	Timeline uint32
	// First and Last are the oldest and the newest segment. The zero Segment is
	// unknown.
	First, Last Segment
	// Missing are the ranges between that are not there, oldest first. Checked
	// says whether somebody has looked for such; without, nothing is known.
	Missing []SegmentRange
	Checked bool
}

// SegmentRange is a range of segments, both ends included.
type SegmentRange struct{ First, Last Segment }
