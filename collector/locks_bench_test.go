package collector_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// crowd starts a server where 500 sessions hold 5000 locks and 200 of them wait, in
// 20 chains of 10.
func crowd(b *testing.B) *pgtest.Server {
	b.Helper()
	const sessions, chains, chain, locks = 500, 20, 10, 5000
	srv := pgtest.New(b, int(spec.NewestMajor), pgtest.Options{Settings: map[string]string{
		"max_connections": "520", "autovacuum": "off", "deadlock_timeout": "10min",
	}})
	srv.Exec(b, "CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t SELECT g, 0 FROM generate_series(0, 999) AS g")
	ctx, cancel := context.WithCancel(b.Context())
	var waiting sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		waiting.Wait()
	})
	for i := range sessions {
		conn := srv.Conn(b, pgtest.Superuser, "postgres")
		for _, sql := range []string{
			"BEGIN",
			fmt.Sprintf("UPDATE t SET v = 1 WHERE id = %d", i), // a row of its own
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, g) FROM generate_series(1, 6) AS g", i),
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				b.Fatal(err)
			}
		}
		if i < chains*(chain+1) && i%(chain+1) > 0 {
			waiting.Go(func() {
				// It ends by being cancelled, which is an error.
				_, _ = conn.Exec(ctx, fmt.Sprintf("UPDATE t SET v = 2 WHERE id = %d", i-1))
			})
		}
	}
	for srv.Query(b, "postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted") != strconv.Itoa(chains*chain) {
		time.Sleep(50 * time.Millisecond)
	}
	if n, err := strconv.Atoi(srv.Query(b, "postgres", "SELECT count(*) FROM pg_locks")); err != nil || n < locks {
		b.Fatalf("there are %d locks, %v", n, err)
	}
	return srv
}

// BenchmarkLocks measures each read of the locks in a crowd, beside asking
// pg_blocking_pids for each that waits, and reading pg_locks once. Where the server
// can tell, it says how much of the time was the server's processor's: the rest is
// what else the machine does.
//
//	PGVIGIL_POSTGRES=$(internal/pgtest/install.sh) go test ./collector -run '^$' -bench Locks -benchtime 100x
func BenchmarkLocks(b *testing.B) {
	srv := crowd(b)
	measure := func(name, sql string) {
		b.Run(name, func(b *testing.B) {
			conn := srv.Conn(b, pgtest.Superuser, "postgres") // whose own processor time it may read
			for _, set := range []string{"SET jit = off", "SET max_parallel_workers_per_gather = 0"} {
				if _, err := conn.Exec(b.Context(), set); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := conn.Prepare(b.Context(), "read", sql); err != nil {
				b.Fatal(err)
			}
			began, known := processorTime(b, conn)
			for b.Loop() {
				if _, err := conn.Exec(b.Context(), "read"); err != nil {
					b.Fatal(err)
				}
			}
			if ended, _ := processorTime(b, conn); known {
				b.ReportMetric((ended-began).Seconds()*1000/float64(b.N), "cpu-ms/op")
			}
		})
	}
	for _, c := range []spec.Collector{collector.Locks, collector.LocksWaits, collector.LocksSlots} {
		measure(c.Name, renderedFor(b, c, spec.NewestMajor))
	}
	measure("pg_blocking_pids", "SELECT count(pg_catalog.pg_blocking_pids(pid)) FROM pg_catalog.pg_locks WHERE NOT granted")
	measure("pg_locks", "SELECT count(*) FROM pg_catalog.pg_locks")
}

// processorTime is what a session's process has used, where Linux tells it.
func processorTime(b *testing.B, conn *pgx.Conn) (used time.Duration, known bool) {
	b.Helper()
	err := conn.QueryRow(b.Context(), "SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 100, true), ' ', 1)::bigint").Scan(&used)
	return used, err == nil
}
