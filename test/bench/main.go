// Command bench measures what scrapes cost, the exporter and the server, on three
// workloads of growing size, S, M and L, with the exporter's defaults and with its
// budgets lifted. Beside them, in the same run and in turns, stands the limit: the
// same statements read bare over pgx, and the same columns written once.
// docs/performance.md says what the rows mean.
//
// WORKLOADS="S M" measures these alone. BENCH_QUICK=1 measures less and coarser.
// Misses are printed and are no failure.
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
	"time"

	"github.com/pgvigil/pgvigil/test/exporter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("WORKLOADS"), os.Getenv("BENCH_QUICK") != ""); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, names string, quick bool) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("CPU times and memory are read from /proc, which %s has not: run this on Linux", runtime.GOOS)
	}
	loads, err := choose(workloads(quick), names)
	if err != nil {
		return err
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
	for _, load := range loads {
		fmt.Fprintf(os.Stderr, "%s workload %v\n", time.Now().Format(time.TimeOnly), load)
		f, err := measure(ctx, binary, load, quick)
		if err != nil {
			return fmt.Errorf("workload %s: %w", load.name, err)
		}
		all = append(all, f)
	}
	return report(w, all)
}

// measure builds a workload, measures it and takes it down.
func measure(ctx context.Context, binary string, load workload, quick bool) (f figures, err error) {
	st, err := newStage(ctx, load)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, st.stop()) }()
	b := &bench{stage: st, load: load, sizes: plan(quick), binary: binary}
	b.f.load, b.f.version = load, st.server.Version
	for _, phase := range b.phases() {
		fmt.Fprintf(os.Stderr, "%s   %s\n", time.Now().Format(time.TimeOnly), phase.deed)
		if err = phase.do(ctx); err != nil {
			err = fmt.Errorf("%s: %w", phase.deed, err)
			break
		}
	}
	return b.f, errors.Join(err, b.stop(ctx))
}

// phase is a part of the measurement.
type phase struct {
	deed string
	do   func(context.Context) error
}

func (b *bench) phases() []phase {
	count := phase{"count", b.count}
	refresh := phase{"measure bare refreshes", b.refresh}
	if b.load.lifted {
		return []phase{count, {"measure whole pages", b.lifted}, refresh}
	}
	list := []phase{
		count,
		{"gather the columns", b.gather},
		{"measure the first scrape", b.first},
		{"measure warm scrapes", b.warm},
		{"measure pages of kept results", b.kept},
	}
	if b.load.statements > 0 {
		list = append(list, phase{"measure stat_statements", b.statements})
	}
	if b.load.pace >= ordinaryPace {
		return append(list, phase{"measure an hour", b.hour}, refresh, phase{"count temporary files", b.countTempFiles})
	}
	return append(list, phase{"measure paced scrapes", b.paced}, refresh)
}
