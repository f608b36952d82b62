// Command demo shows pgvigil at work: on an embedded primary and standby that it
// starts with a small workload, with a pooler between where PgBouncer is installed,
// and a server with backups where pgBackRest is; or on the server that
// DATA_SOURCE_NAME names. It stays until Ctrl-C, or for DEMO_SECONDS.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pgvigil/pgvigil/test/exporter"
	"github.com/pgvigil/pgvigil/test/stage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Stdout)
	// What a Ctrl-C interrupts fails, and that is no news.
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

const (
	preferred = "127.0.0.1:9187" // the port of PostgreSQL exporters
	upTimeout = 30 * time.Second
	poll      = 200 * time.Millisecond
)

// target is a server or pooler as the exporter serves it; up is the metric that says
// whether it answers.
type target struct{ name, path, up string }

func run(ctx context.Context, w io.Writer) (err error) {
	length, err := duration(os.Getenv("DEMO_SECONDS"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgvigil-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	fmt.Fprintln(w, "Building the exporter.")
	binary, err := exporter.Build(ctx, dir)
	if err != nil {
		return err
	}
	dsn := os.Getenv("DATA_SOURCE_NAME")
	targets := []target{{"server", "/metrics", "pg_up"}}
	var args []string
	var failed <-chan error // of the workload
	if dsn == "" {
		fmt.Fprintln(w, "Starting PostgreSQL, a primary and a standby.")
		var st *stage.Stage // not a new err: what stopping says is joined to ours
		if st, err = stage.Start(ctx, 0); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Stop()) }()
		dsn, failed = st.ExporterDSN(), st.Failed()
		targets = []target{{"primary", "/metrics", "pg_up"}, {"standby", "/probe?target=standby", "pg_up"}}
		if st.HasPooler() {
			targets = append(targets, target{"pooler", "/probe?target=pooler", "pgbouncer_up"})
		} else {
			fmt.Fprintln(w, "PgBouncer is not installed, so there is no pooler to see. The package pgbouncer of your system brings it.")
		}
		if st.HasLedger() {
			targets = append(targets, target{"ledger", "/probe?target=ledger", "pg_up"})
		} else {
			fmt.Fprintln(w, "pgBackRest is not installed, so a file tells of a backup, on the primary's page.")
		}
		file := filepath.Join(dir, "pgvigil.yml")
		if err := st.WriteConfig(file); err != nil {
			return err
		}
		args = append(args, "--config.file="+file)
		fmt.Fprintf(w, "PostgreSQL %s is up; look at the primary with: psql '%s'\n", st.Version(), st.DSN())
		fmt.Fprintf(w, "To see what becomes of a fault, stop the primary with: kill -INT %d\n", st.PrimaryPID())
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	e, err := exporter.Start(ctx, binary, address, dsn, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	if err := show(ctx, w, e, targets); err != nil {
		return err
	}
	return stay(ctx, w, length, e, failed)
}

// duration reads DEMO_SECONDS; 0 is until Ctrl-C.
func duration(seconds string) (time.Duration, error) {
	if seconds == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(seconds, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("DEMO_SECONDS is %q: give a number of seconds, or leave it unset to stay until Ctrl-C", seconds)
	}
	return time.Duration(n) * time.Second, nil
}

// freeAddress is on the loopback, at the port of PostgreSQL exporters if nobody
// has it.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", preferred)
	if err != nil {
		return exporter.FreeAddress()
	}
	return preferred, l.Close()
}

// show waits until every target is up and tells what a scrape of it gives.
func show(ctx context.Context, w io.Writer, e *exporter.Process, targets []target) error {
	fmt.Fprintf(w, "\npgvigil listens on %s/\n\n", e.URL)
	for _, t := range targets {
		// The first scrape waits for all that is slow to read; what follows is
		// what Prometheus will see.
		if err := awaitUp(ctx, e, t); err != nil {
			return err
		}
		page, err := e.Get(ctx, t.path, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %-8s %s\n           %s 1, %d metrics, %d series in %v",
			t.name, e.URL+t.path, t.up, page.Families(), page.Series(), page.Took.Round(100*time.Microsecond))
		if sessions, ok := page.Value("pgvigil_sessions_open"); ok {
			limit, _ := page.Value("pgvigil_sessions_limit")
			fmt.Fprintf(w, ", %.0f of at most %.0f sessions open", sessions, limit)
		}
		fmt.Fprintln(w)
	}
	return nil
}

func awaitUp(ctx context.Context, e *exporter.Process, t target) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	for {
		page, err := e.Get(ctx, t.path, nil)
		if err != nil {
			return err
		}
		if up, _ := page.Value(t.up); up == 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the %s stays down: the exporter's warning above says why", t.name)
		case <-e.Done():
			return errors.New("the exporter ended, for the reason it gave above")
		case <-time.After(poll):
		}
	}
}

// stay returns when the demo is over.
func stay(ctx context.Context, w io.Writer, length time.Duration, e *exporter.Process, failed <-chan error) error {
	var over <-chan time.Time // never
	if length > 0 {
		over = time.After(length)
		fmt.Fprintf(w, "\nThis ends in %v, or with Ctrl-C.\n", length)
	} else {
		fmt.Fprintln(w, "\nStop with Ctrl-C.")
	}
	select {
	case <-ctx.Done():
	case <-over:
	case err := <-failed:
		return err
	case <-e.Done():
		if ctx.Err() == nil {
			return errors.New("the exporter ended, for the reason it gave above")
		}
	}
	fmt.Fprintln(w, "\nStopping.")
	return nil
}
