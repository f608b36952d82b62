package pgbouncer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgbouncer"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

func console(t *testing.T, config postgres.Config, collectors []spec.Collector) *pgbouncer.Console {
	t.Helper()
	c := pgbouncer.New(config, collectors)
	t.Cleanup(func() { c.Close(context.WithoutCancel(t.Context())) })
	return c
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestPasswordIsReadAgain: a password that was changed needs no restart.
func TestPasswordIsReadAgain(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	path := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	way := fmt.Sprintf("host=127.0.0.1 port=%d user=%s sslmode=disable", p.Port(), pgtest.PoolerStats)
	c := console(t, postgres.Config{ConnString: way, Password: postgres.File(path)}, collectors())
	if _, err := c.Read(within(t)); postgres.ConnectReason(err) != postgres.ConnectAuth {
		t.Fatalf("with the wrong password: %v", err)
	}
	write(pgtest.PoolerStats)
	for range 2 {
		readings, err := c.Read(within(t))
		if err != nil || len(readings) != len(collectors()) {
			t.Fatalf("%d readings, %v", len(readings), err)
		}
	}
	if c.Opened() != 1 {
		t.Errorf("%d sessions", c.Opened())
	}
}

// TestOneCommandFails: what the console does not understand costs one collector.
func TestOneCommandFails(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	odd := spec.Collector{
		Name: "pgbouncer_odd", Source: spec.PgBouncer, Queries: []spec.Query{{SQL: "SHOW NOTHING"}}, Answer: &spec.Answer{},
	}
	c := console(t, postgres.Config{ConnString: p.DSN(pgtest.PoolerStats, "pgbouncer")}, append([]spec.Collector{odd}, collectors()...))
	readings, err := c.Read(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readings {
		if failed := r.Err != nil; failed != (r.Collector == odd.Name) {
			t.Errorf("%s: %v", r.Collector, r.Err)
		}
	}
}

// TestClose: a closed console opens nothing more.
func TestClose(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	// Without collectors it asks whether somebody is there, and no more.
	c := console(t, postgres.Config{ConnString: p.DSN(pgtest.PoolerStats, "")}, nil)
	if readings, err := c.Read(within(t)); err != nil || len(readings) != 0 {
		t.Errorf("%d readings, %v", len(readings), err)
	}
	c.Close(within(t))
	if _, err := c.Read(within(t)); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
