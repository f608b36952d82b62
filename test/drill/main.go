// Command drill breaks real clusters, one fault after the other, and looks which
// alerts come to a person: by a pair of Prometheus servers with the plain rules, and by
// a Thanos Ruler with its own, each through an Alertmanager with the routes of the
// documentation. It fails where an expected alert does not come, or a page comes that
// nobody should get.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c choice
	flag.StringVar(&c.run, "run", "", "run the drills whose names this regular expression finds")
	flag.BoolVar(&c.short, "short", false, "run the few that CI runs")
	flag.StringVar(&c.matrix, "matrix", "", "write what came of them to this file, as Markdown")
	flag.BoolVar(&c.list, "list", false, "list the drills")
	flag.IntVar(&c.retry, "retry", 0, "try drills that fail so often again, for a machine that does other things too")
	flag.StringVar(&c.keep, "keep", "", "keep the logs of all programs in this directory")
	flag.Parse()
	if err := run(ctx, os.Stdout, ".", c); err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(1)
	}
}

// choice is what the command line asks for.
type choice struct {
	run, matrix, keep string
	short, list       bool
	retry             int
}

// drills are all there are, in the order in which those of a lane run.
func drills() []drill {
	return slices.Concat(ordersDrills(), shopDrills(), poolerDrills(), ledgerDrills(), watchingDrills())
}

func (c choice) drills() ([]drill, error) {
	pattern, err := regexp.Compile(c.run)
	if err != nil {
		return nil, fmt.Errorf("-run %s: %w", c.run, err)
	}
	list := slices.DeleteFunc(drills(), func(d drill) bool { return !pattern.MatchString(d.name) || c.short && !d.short })
	if len(list) == 0 {
		return nil, fmt.Errorf("-run %s finds no drill; -list lists them", c.run)
	}
	return list, nil
}

// warmUp is until rules have the history that they look back on.
const warmUp = 30 * time.Second

func run(ctx context.Context, w io.Writer, top string, c choice) (err error) {
	list, err := c.drills()
	if err != nil {
		return err
	}
	if c.list {
		for _, d := range list {
			fmt.Fprintf(w, "%-28s %-8s %s\n", d.name, d.lane, d.does)
		}
		return nil
	}
	t, err := findTools()
	if err != nil {
		return err
	}
	dir := c.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pgvigil-drill-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	began := time.Now()
	mon, err := startMonitor(ctx, t, top, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mon.stop()) }()
	lanes := map[lane]bool{}
	for _, d := range list {
		lanes[d.lane] = true
	}
	s, err := build(ctx, mon, dir, lanes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	fmt.Fprintf(w, "All is up after %.0f s; %v to warm up.\n", time.Since(began).Seconds(), warmUp)
	if err := pause(ctx, warmUp); err != nil {
		return err
	}
	results, err := runAll(ctx, w, s, list, c.retry)
	if err != nil {
		return err
	}
	m := matrix{results: results, took: time.Since(began)}
	fmt.Fprintln(w, m.sum())
	if c.matrix != "" {
		if err := os.WriteFile(c.matrix, []byte(m.markdown()), 0o644); err != nil {
			return fmt.Errorf("write the matrix: %w", err)
		}
	}
	if !m.good() {
		return errors.New("not all drills went as they should")
	}
	return nil
}

// runAll runs the lanes side by side, and then what breaks the monitoring. The results
// are in the order of the list.
func runAll(ctx context.Context, w io.Writer, s *scene, list []drill, retry int) ([]result, error) {
	var mu sync.Mutex // held while something is printed or kept
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "     "+format+"\n", args...)
	}
	found := map[string]result{}
	run := func(l lane) {
		r := &runner{scene: s, lane: l, say: say}
		for _, d := range list {
			if d.lane != l || ctx.Err() != nil {
				continue
			}
			res := r.run(ctx, d)
			for again := 0; again < retry && !res.good() && ctx.Err() == nil; again++ {
				mu.Lock()
				res.report(w)
				mu.Unlock()
				say("%s failed and is tried again", d.name)
				res = r.run(ctx, d)
			}
			mu.Lock()
			found[d.name] = res
			res.report(w)
			mu.Unlock()
		}
	}
	var wg sync.WaitGroup
	for _, l := range []lane{orders, shop, stock, ledger} {
		wg.Go(func() { run(l) })
	}
	wg.Wait()
	run(watching)
	var results []result
	for _, d := range list {
		if res, ok := found[d.name]; ok {
			results = append(results, res)
		}
	}
	return results, context.Cause(ctx)
}
