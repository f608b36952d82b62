package spec

import "time"

// Reading is what a source that is not PostgreSQL gave for one collector.
type Reading struct {
	// Collector is the collector's name.
	Collector string
	// Rows have columns named as the collector's labels and metrics; those that
	// the source does not give are not there.
	Rows *Rows
	// At is when the rows were read, or it was tried; zero is now. A failure is
	// counted once, however many scrapes are told of it.
	At time.Time
	// Elapsed is how long that took.
	Elapsed time.Duration
	// Unknown is the number of columns that nobody here knows.
	Unknown int
	// Err is why there are no rows.
	Err error
}
