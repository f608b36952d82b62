package collector_test

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestNotifyQueue holds the queue open with a listener that stays in a transaction.
func TestNotifyQueue(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		session(t, srv, pgtest.Superuser, "postgres", "LISTEN tick", "BEGIN")
		srv.Exec(t, "SELECT pg_notify('tick', repeat('x', 7000) || g) FROM generate_series(1, 20) AS g")
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "notify_queue"))
		if used := page.value(t, "pg_notify_queue_usage_ratio"); used <= 0 || used > 0.01 {
			t.Errorf("20 notifications nobody has read take %v of the queue", used)
		}
	})
}
