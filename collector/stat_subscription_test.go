package collector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const (
	subEnabled  = "pg_stat_subscription_enabled"
	subApply    = "pg_stat_subscription_apply_workers"
	subReceived = "pg_stat_subscription_received_position_bytes_total"
	subTables   = "pg_stat_subscription_tables"
)

// of is the label set of the one subscription of these tests.
var of = []string{"datname", "sub", "subname", "s"}

// subscriptionScene has the database postgres follow a table of the database
// publisher. No transaction may be open, for its slot waits for all.
func subscriptionScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	srv.Exec(t, "CREATE DATABASE publisher", "CREATE TABLE followed (id int)")
	srv.ExecIn(t, "publisher", "CREATE TABLE followed (id int)", "CREATE PUBLICATION scene FOR TABLE followed",
		"SELECT pg_create_logical_replication_slot('scene', 'pgoutput')")
	srv.Exec(t, fmt.Sprintf(
		"CREATE SUBSCRIPTION scene CONNECTION 'host=%s port=%d user=%s dbname=publisher' PUBLICATION scene WITH (create_slot = false, copy_data = false)",
		srv.Host(), srv.Port(), pgtest.Superuser))
	if srv.Major >= 15 {
		srv.Exec(t, "SELECT pg_stat_reset_subscription_stats(NULL)")
	}
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_subscription WHERE latest_end_time IS NOT NULL") == "1" {
			return
		}
	}
	t.Fatal("the subscription never came to receive anything")
}

// pubSub is a server with a publication p and a slot s in the database pub, of the
// table t that the database sub has as well.
type pubSub struct{ srv *pgtest.Server }

func newPubSub(t *testing.T, major int) pubSub {
	t.Helper()
	srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
		"autovacuum": "off", "wal_retrieve_retry_interval": "100ms", "logical_decoding_work_mem": "64kB",
	}})
	for _, db := range []string{"pub", "sub"} {
		srv.Exec(t, "CREATE DATABASE "+db)
		srv.ExecIn(t, db, "CREATE TABLE t (id int PRIMARY KEY)")
	}
	// A subscription cannot make its slot in the server it is in: each waits for the other.
	srv.ExecIn(t, "pub", "INSERT INTO t VALUES (1)", "CREATE PUBLICATION p FOR TABLE t",
		"SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
	return pubSub{srv}
}

// subscribe makes the subscription s, with more of its options, each after a comma.
func (p pubSub) subscribe(t *testing.T, options string) {
	t.Helper()
	p.srv.ExecIn(t, "sub", fmt.Sprintf(
		"CREATE SUBSCRIPTION s CONNECTION 'host=%s port=%d user=%s dbname=pub' PUBLICATION p WITH (create_slot = false, slot_name = 's'%s)",
		p.srv.Host(), p.srv.Port(), pgtest.Superuser, options))
}

// TestStatSubscription follows a subscription that works, fails, works again and is
// disabled.
func TestStatSubscription(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		p := newPubSub(t, major)
		e := watch(t, p.srv, pgtest.Monitor, "stat_subscription")
		scrapePage(t, e).absent(t, subEnabled)
		began := time.Now()
		p.subscribe(t, "")
		subscriptionWorks(t, p, e, began)
		subscriptionFails(t, p, e)
		subscriptionIsDisabled(t, p, e)
	})
}

func subscriptionWorks(t *testing.T, p pubSub, e *scrape.Engine, began time.Time) {
	page := eventually(t, e, subReceived, func(s snapshot) bool {
		return has(subEnabled, 1, of...)(s) && has(subApply, 1, of...)(s) && len(s.values(subReceived, of...)) == 1 &&
			len(s.values("pg_stat_subscription_latest_end_timestamp_seconds", of...)) == 1 &&
			p.srv.Query(t, "sub", "SELECT string_agg(srsubstate, '') FROM pg_subscription_rel") == "r"
	})
	page.succeeded(t, "stat_subscription")
	for _, name := range []string{"last_message_send", "last_message_receipt", "latest_end"} {
		at := page.value(t, "pg_stat_subscription_"+name+"_timestamp_seconds", of...)
		if from, to := float64(began.Unix()), float64(time.Now().Unix()+1); at < from || at > to {
			t.Errorf("%s was at %v, not between %v and %v", name, at, from, to)
		}
	}
	if tables := scrapePage(t, watch(t, p.srv, pgtest.Monitor, "stat_subscription")); tables.value(t, subTables, append(of, "state", "ready")...) != 1 {
		t.Errorf("the table was copied, and the page has:\n%s", tables.text(subTables))
	}

	before := page.value(t, subReceived, of...)
	p.srv.ExecIn(t, "pub", "INSERT INTO t SELECT generate_series(100, 1100)")
	page = eventually(t, e, subReceived, func(s snapshot) bool { return s.sum(subReceived, of...) > before+1000 })
	written := p.srv.Query(t, "postgres", "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
	if got := page.value(t, subReceived, of...); fmt.Sprintf("%020.0f", got) > strings.Repeat("0", 20-len(written))+written {
		t.Errorf("%v bytes are received, and %s written", got, written)
	}
	eventually(t, e, "pg_stat_subscription_latest_end_position_bytes_total", func(s snapshot) bool {
		return s.sum("pg_stat_subscription_latest_end_position_bytes_total", of...) > before+1000
	})
}

// subscriptionFails has a row in the way of one that comes, and then a table that
// cannot be copied.
func subscriptionFails(t *testing.T, p pubSub, e *scrape.Engine) {
	p.srv.ExecIn(t, "sub", "INSERT INTO t VALUES (2000)")
	p.srv.ExecIn(t, "pub", "INSERT INTO t VALUES (2000)")
	eventually(t, e, subApply, all(has(subApply, 0, of...), has(subEnabled, 1, of...)))
	failures := []string{}
	if p.srv.Major >= 15 {
		failures = append(failures, "pg_stat_subscription_apply_errors_total")
	}
	if p.srv.Major >= 18 {
		failures = append(failures, "pg_stat_subscription_confl_insert_exists_total")
	}
	for _, metric := range failures {
		eventually(t, e, metric, func(s snapshot) bool { return s.sum(metric, of...) >= 2 })
	}
	p.srv.ExecIn(t, "sub", "DELETE FROM t WHERE id = 2000")
	eventually(t, e, subApply, func(s snapshot) bool {
		return has(subApply, 1, of...)(s) && p.srv.Query(t, "sub", "SELECT count(*) FROM t WHERE id = 2000") == "1"
	})
	if p.srv.Major < 15 {
		return
	}
	if got := scrapePage(t, e).value(t, "pg_stat_subscription_sync_errors_total", of...); got != 0 {
		t.Errorf("%v copies failed before there was one to fail", got)
	}
	for _, db := range []string{"pub", "sub"} {
		p.srv.ExecIn(t, db, "CREATE TABLE clash (id int PRIMARY KEY)", "INSERT INTO clash VALUES (1)")
	}
	p.srv.ExecIn(t, "pub", "ALTER PUBLICATION p ADD TABLE clash")
	p.srv.ExecIn(t, "sub", "ALTER SUBSCRIPTION s REFRESH PUBLICATION")
	eventually(t, e, "pg_stat_subscription_sync_errors_total", func(s snapshot) bool {
		return s.sum("pg_stat_subscription_sync_errors_total", of...) >= 2
	})
	began := time.Now()
	p.srv.Exec(t, "SELECT pg_stat_reset_subscription_stats(NULL)")
	const reset = "pg_stat_subscription_stats_reset_timestamp_seconds"
	eventually(t, e, reset, func(s snapshot) bool { return s.sum(reset, of...) >= float64(began.Unix()) })
	tables := scrapePage(t, watch(t, p.srv, pgtest.Monitor, "stat_subscription"))
	if got := tables.sum(subTables, of...) - tables.sum(subTables, append(of, "state", "ready")...); got != 1 {
		t.Errorf("%v tables are not ready, want 1:\n%s", got, tables.text(subTables))
	}
}

func subscriptionIsDisabled(t *testing.T, p pubSub, e *scrape.Engine) {
	p.srv.ExecIn(t, "sub", "ALTER SUBSCRIPTION s DISABLE")
	page := eventually(t, e, subApply, all(has(subApply, 0, of...), has(subEnabled, 0, of...),
		has("pg_stat_subscription_table_synchronization_workers", 0, of...)))
	for _, name := range []string{
		"received_position_bytes_total", "latest_end_position_bytes_total", "latest_end_timestamp_seconds",
		"last_message_send_timestamp_seconds", "last_message_receipt_timestamp_seconds",
	} {
		page.absent(t, "pg_stat_subscription_"+name, of...)
	}
}

// TestStatSubscriptionCopy has the first copy of a table wait for a lock, which
// stops neither the collectors nor the worker that applies.
func TestStatSubscriptionCopy(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		p := newPubSub(t, major)
		p.subscribe(t, ", enabled = false")
		page := scrapePage(t, watch(t, p.srv, pgtest.Monitor, "stat_subscription"))
		page.value(t, subTables, append(of, "state", "initialize")...)

		session(t, p.srv, pgtest.Superuser, "sub", "BEGIN", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
		p.srv.ExecIn(t, "sub", "ALTER SUBSCRIPTION s ENABLE")
		e := watch(t, p.srv, pgtest.Monitor, "stat_subscription")
		eventually(t, e, subApply, func(s snapshot) bool {
			return all(has(subApply, 1, of...), has("pg_stat_subscription_table_synchronization_workers", 1, of...))(s) &&
				p.srv.Query(t, "sub", "SELECT string_agg(srsubstate, '') FROM pg_subscription_rel") == "d"
		})
		page = scrapePage(t, watch(t, p.srv, pgtest.Monitor, "stat_subscription"))
		page.value(t, subTables, append(of, "state", "data copy")...)
	})
}

// TestStatSubscriptionParallel has a large transaction applied beside: its worker
// is not another that applies.
func TestStatSubscriptionParallel(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		if major < 16 {
			t.Skip("since 16")
		}
		p := newPubSub(t, major)
		p.subscribe(t, ", copy_data = false, streaming = parallel")
		e := watch(t, p.srv, pgtest.Monitor, "stat_subscription")
		eventually(t, e, subApply, has(subApply, 1, of...))
		session(t, p.srv, pgtest.Superuser, "pub", "BEGIN", "INSERT INTO t SELECT generate_series(10000, 30000)")
		eventually(t, e, subApply, all(has(subApply, 1, of...), has("pg_stat_subscription_parallel_apply_workers", 1, of...)))
	})
}

// TestStatSubscriptionNamesakes has two databases with a subscription of one name:
// one runs, the other does not.
func TestStatSubscriptionNamesakes(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		p := newPubSub(t, major)
		p.subscribe(t, "")
		p.srv.Exec(t, "CREATE DATABASE other")
		p.srv.ExecIn(t, "other", "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)")
		other := []string{"datname", "other", "subname", "s"}
		page := eventually(t, watch(t, p.srv, pgtest.Monitor, "stat_subscription"), subApply, all(
			has(subApply, 1, of...), has(subEnabled, 1, of...), has(subApply, 0, other...), has(subEnabled, 0, other...),
			func(s snapshot) bool { return len(s.values(subReceived, of...)) == 1 }))
		page.absent(t, subReceived, other...)
		// A role without grants sees as much.
		scrapePage(t, watch(t, p.srv, pgtest.Nobody, "stat_subscription")).succeeded(t, "stat_subscription")
	})
}
