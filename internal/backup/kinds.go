package backup

import (
	"context"
	"errors"
)

// reader is how a kind of source is read.
type reader struct {
	// program is run where the configuration names no command.
	program string
	// look asks what backups there are.
	look func(ctx context.Context, c Config, run ask) (Report, error)
	// list asks which segments are archived, for tools whose look does not tell of
	// gaps; nil for others. It returns the ranges by repository, runs at
	// Config.WALInterval, and what it found is kept meanwhile.
	list func(ctx context.Context, c Config, run ask, r Report) (map[string][]WALRange, error)
	// failures says that the tool lists backups that have failed. Others forget them.
	failures bool
}

// Kinds returns all there are.
func Kinds() []Kind { return []Kind{PgBackRest, Barman, WALG, File} }

// Program is what is run for a source that configures no command, empty for a kind
// that runs none.
func (k Kind) Program() string { return k.reader().program }

// Lists reports whether a kind lists the archive at an interval of its own.
func (k Kind) Lists() bool { return k.reader().list != nil }

// reader returns how k is read. A kind that nobody knows reads nothing: the
// configuration takes none.
func (k Kind) reader() reader {
	switch k {
	case PgBackRest:
		return reader{program: "pgbackrest", look: lookPgBackRest, list: listPgBackRest}
	case Barman:
		return reader{program: "barman", look: lookBarman, list: listBarman, failures: true}
	case WALG:
		return reader{program: "wal-g", look: lookWALG}
	case File:
		return reader{failures: true, look: patient(lookFile)}
	default:
		return reader{look: func(context.Context, Config, ask) (Report, error) {
			return Report{}, unclear("there is no kind %q of backup sources", k)
		}}
	}
}

// patient makes a look of one that reads files and knows no deadline: a file server
// that is away holds it in the kernel. Another is not begun beside it.
func patient(read func(Config) (Report, error)) func(context.Context, Config, ask) (Report, error) {
	type result struct {
		report Report
		err    error
	}
	var left chan result // of the read that was not done in time
	return func(ctx context.Context, c Config, _ ask) (Report, error) {
		results := left
		if results == nil {
			results = make(chan result, 1)
			go func() { // ends with the read; left looks after it
				report, err := read(c)
				results <- result{report, err}
			}()
		}
		select {
		case r := <-results:
			left = nil
			return r.report, r.err
		case <-ctx.Done():
			left = results
			return Report{}, &LookError{ReasonTimeout, errors.New("the file cannot be read in time")}
		}
	}
}
