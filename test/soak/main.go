// Command soak scrapes the exporter thousands of times, back to back, while
// tables, statements, roles and databases come and go on its server, and fails if
// the exporter has grown meanwhile: in memory, goroutines or open files.
//
// All collectors are on, with small limits, so that what is shown changes. Those
// with a rhythm run on each database that comes, and on all of them after each
// restart of the server, of which there are many.
//
// SOAK_SCRAPES is how many scrapes, 5000 by default; SOAK_GROWTH by which part the
// exporter may grow after it has warmed up, 0.2 by default. After timeLimit it
// gives up.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/test/exporter"
)

const (
	timeLimit      = 20 * time.Minute
	usualScrapes   = 5000
	usualGrowth    = 0.2
	restartEvery   = 100 // scrapes
	shownOfAFold   = "50"
	scrapeDeadline = "20" // seconds
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) (err error) {
	scrapes, err := number("SOAK_SCRAPES", usualScrapes)
	if err != nil {
		return err
	}
	growth, err := number("SOAK_GROWTH", usualGrowth)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeLimit, fmt.Errorf("there was not enough time in %v", timeLimit))
	defer cancel()
	dir, err := os.MkdirTemp("", "pgvigil-soak-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := exporter.Build(ctx, dir)
	if err != nil {
		return err
	}
	bin, err := pgtest.Find()
	if err != nil {
		return err
	}
	srv, err := pgtest.Start(ctx, bin, slices.Max(bin.Majors()), pgtest.Options{Settings: map[string]string{
		"pg_stat_statements.max": "1000", // so that it is full soon, and forgets
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	address, err := exporter.FreeAddress()
	if err != nil {
		return err
	}
	e, err := exporter.Start(ctx, binary, address, srv.DSN(pgtest.Monitor, mainDatabase), flags(spec.From(spec.PostgreSQL, collector.All()))...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	s := &soak{server: srv, exporter: e, out: w, scrapes: int(scrapes), watch: newWatcher()}
	if err := s.run(ctx); err != nil {
		return err
	}
	return s.watch.verdict(w, growth)
}

// number reads a variable that is a number above 0.
func number(name string, usual float64) (float64, error) {
	text := os.Getenv(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) {
		return 0, fmt.Errorf("%s is %q: give a number above 0", name, text)
	}
	return n, nil
}

// soak is one run.
type soak struct {
	server   *pgtest.Server
	exporter *exporter.Process
	out      io.Writer
	scrapes  int
	watch    *watcher

	// Held for writing while the server restarts, for reading while somebody
	// works on it.
	upright sync.RWMutex
}

// run scrapes, beside what changes the server.
func (s *soak) run(ctx context.Context) error {
	c := &churn{server: s.server, upright: &s.upright}
	if err := c.prepare(ctx); err != nil {
		return fmt.Errorf("prepare the server: %w", err)
	}
	churning, stop := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	var churnErr error
	wg.Go(func() {
		if churnErr = c.run(churning); churnErr != nil {
			stop(fmt.Errorf("change the server: %w", churnErr))
		}
	})
	err := s.scrapeAll(churning, c)
	stop(nil)
	wg.Wait()
	if churnErr != nil {
		return context.Cause(churning)
	}
	return err
}

func (s *soak) scrapeAll(ctx context.Context, c *churn) error {
	fmt.Fprintln(s.out, s.watch.heading())
	began := time.Now()
	tenth := max(s.scrapes/10, 1)
	for n := 1; n <= s.scrapes; n++ {
		page, err := s.exporter.Get(ctx, "/metrics", map[string][]string{"X-Prometheus-Scrape-Timeout-Seconds": {scrapeDeadline}})
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if up, _ := page.Value("pg_up"); up != 1 {
			return fmt.Errorf("scrape %d says pg_up 0", n)
		}
		s.watch.note(page)
		if n%tenth == 0 || n == s.scrapes {
			fmt.Fprintln(s.out, s.watch.line(time.Since(began), c))
		}
		if n%restartEvery == 0 && n < s.scrapes {
			if err := s.restart(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *soak) restart(ctx context.Context) error {
	s.upright.Lock()
	defer s.upright.Unlock()
	return s.server.Restart(ctx)
}
