// Command bench measures what scrapes cost, the exporter and the server, on two
// workloads: S, one database of 50 tables and 20 sessions, and M, ten databases
// of 500 tables and 200 sessions. Beside them, in the same run and in turns,
// stands the limit: the same statements read bare over one pgx session, and the
// same columns written once. docs/performance.md says what the rows mean.
//
// BENCH_QUICK=1 is a run of half a minute that measures less and coarser. Time
// misses are printed and are no failure.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/pgvigil/pgvigil/test/exporter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("BENCH_QUICK") != ""); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, quick bool) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("CPU times and memory are read from /proc, which %s has not: run this on Linux", runtime.GOOS)
	}
	dir, err := os.MkdirTemp("", "pgvigil-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := exporter.Build(ctx, dir)
	if err != nil {
		return err
	}
	var all []figures
	for _, load := range workloads(quick) {
		fmt.Fprintf(os.Stderr, "workload %s: %d databases of %d tables, %d sessions\n", load.name, load.databases, load.tables, load.sessions)
		f, err := measure(ctx, binary, load, plan(quick))
		if err != nil {
			return fmt.Errorf("workload %s: %w", load.name, err)
		}
		all = append(all, f)
	}
	return report(w, all)
}

// measure builds a workload, measures it and takes it down.
func measure(ctx context.Context, binary string, load workload, size sizes) (f figures, err error) {
	st, err := newStage(ctx, load)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, st.stop()) }()
	b := &bench{stage: st, load: load, sizes: size, binary: binary}
	b.f.load, b.f.version = load, st.server.Version
	for _, phase := range []struct {
		deed string
		do   func(context.Context) error
	}{
		{"count", b.count},
		{"gather the columns", b.gather},
		{"measure the first scrape", b.first},
		{"measure warm scrapes", b.warm},
		{"measure pages of kept results", b.kept},
		{"measure paced scrapes", b.paced},
		{"measure bare refreshes", b.refresh},
	} {
		if err = phase.do(ctx); err != nil {
			err = fmt.Errorf("%s: %w", phase.deed, err)
			break
		}
	}
	return b.f, errors.Join(err, b.stop(ctx))
}
