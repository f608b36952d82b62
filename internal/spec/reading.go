package spec

// Reading is what a source that is not PostgreSQL gave for one collector.
type Reading struct {
	// Collector is the collector's name.
	Collector string
	// Rows have columns named as the collector's labels and metrics; those that
	// the source does not give are not there.
	Rows *Rows
	// Unknown is the number of columns that nobody here knows.
	Unknown int
	// Err is why there are no rows.
	Err error
}
