// Command bloat holds what the collector bloat estimates against what pgstattuple
// and pgstatindex measure, on tables and indexes of known bloat, on the oldest and
// the newest major there is.
//
// What is wasted is the size less what the rows or entries that are there would
// take at the fillfactor, by all three: by the estimate, by what the extension
// counts, and by what VACUUM FULL or REINDEX leaves in the end. It fails where an
// estimate is further from the measured than the goals allow, where there is a
// number without the statistics for it, and where there is none though there are.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// bound is more than it takes on a machine of two cores that has other things to do.
const bound = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bloat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bin, err := pgtest.Find()
	if err != nil {
		return err
	}
	majors := bin.Majors()
	var outcomes []outcome
	for _, major := range slices.Compact([]int{majors[0], majors[len(majors)-1]}) {
		outcomes = append(outcomes, outcome{major: major})
	}
	var wg sync.WaitGroup
	for i := range outcomes {
		wg.Go(func() { outcomes[i].err = outcomes[i].measure(ctx, bin) })
	}
	wg.Wait()
	missed := false
	for _, o := range outcomes {
		if o.err != nil {
			return fmt.Errorf("PostgreSQL %d: %w", o.major, o.err)
		}
		good, err := report(os.Stdout, o)
		if err != nil {
			return err
		}
		missed = missed || !good
	}
	if missed {
		return errors.New("the estimates miss their goals")
	}
	return nil
}

// outcome is what came of one major.
type outcome struct {
	major   int
	version string
	figures []figure
	err     error
}

func (o *outcome) measure(ctx context.Context, bin pgtest.Binaries) error {
	s, err := open(ctx, bin, o.major)
	if err != nil {
		return err
	}
	o.version = s.server.Version
	o.figures, err = s.measure(ctx)
	return errors.Join(err, s.close(ctx))
}
