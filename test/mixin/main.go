// Command mixin loads the rules of mixin/ into a real Prometheus, lets it scrape the
// exporter over real servers of the oldest and the newest major, and asks it all that
// the boards ask. It fails where a rule or a query fails, and where a panel stays
// empty whose declaration does not say when it may be. With -fleet it measures what
// evaluating the rules costs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
	"github.com/pgvigil/pgvigil/test/stage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	instances := flag.Int("fleet", 0, "measure the evaluation of rules over so many instances instead")
	flag.Parse()
	var err error
	if *instances > 0 {
		err = fleet(ctx, os.Stdout, ".", *instances)
	} else {
		err = run(ctx, os.Stdout, ".", []int{13, 18})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mixin:", err)
		os.Exit(1)
	}
}

// target is what Prometheus scrapes: a page, and the labels that say whose it is.
type target struct{ address, path, name, cluster, instance string }

// run checks the mixin of the repository at top on these majors.
func run(ctx context.Context, w io.Writer, top string, majors []int) (err error) {
	program, err := pgtest.FindProgram("prometheus")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgvigil-mixin-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m, err := render(ctx, top, dir)
	if err != nil {
		return err
	}
	binary, err := exporter.Build(ctx, dir)
	if err != nil {
		return err
	}
	var targets []target
	for _, major := range majors {
		st, err := stage.Start(ctx, major)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Stop()) }()
		e, pages, err := watch(ctx, binary, dir, st, major)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.Stop()) }()
		targets = append(targets, pages...)
		fmt.Fprintf(w, "PostgreSQL %s is up\n", st.Version())
	}
	p, err := startPrometheus(ctx, program, dir, targets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	return check(ctx, w, p, m, majors)
}

// clusterOf is the PostgreSQL cluster that the servers of a major are.
func clusterOf(major int) string { return "pg" + strconv.Itoa(major) }

// watch starts an exporter over a stage.
func watch(ctx context.Context, binary, dir string, st *stage.Stage, major int) (*exporter.Process, []target, error) {
	file := filepath.Join(dir, clusterOf(major)+".yml")
	if err := st.WriteConfig(file); err != nil {
		return nil, nil, err
	}
	address, err := exporter.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	e, err := exporter.Start(ctx, binary, address, st.ExporterDSN(), "--config.file="+file)
	if err != nil {
		return nil, nil, err
	}
	cluster := clusterOf(major)
	targets := []target{
		{address, "/metrics", "", cluster, "primary"},
		{address, "/probe", "standby", cluster, "standby"},
	}
	if st.HasPooler() {
		targets = append(targets, target{address, "/probe", "pooler", cluster, "pooler"})
	}
	if st.HasLedger() {
		targets = append(targets, target{address, "/probe", "ledger", cluster, "ledger"})
	}
	return e, targets, nil
}
