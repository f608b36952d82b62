package collector_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// A forecast needs minutes of looking on. In the tests of this file its clock runs
// faster than the server's: a second is a minute.
const haste = 60

// hastened is an Emitter whose clock has run so fast since the beginning.
type hastened struct {
	spec.Emitter
	began time.Time
}

func (h hastened) Emit(run spec.Run, in *spec.Rows, out *spec.Sink) error {
	run.Now = h.began.Add(haste * run.Now.Sub(h.began))
	return h.Emitter.Emit(run, in, out)
}

// watchHastened returns an engine for the collector of forecasts, in haste.
func watchHastened(t *testing.T, srv *pgtest.Server) *scrape.Engine {
	t.Helper()
	c := collector.XidLimits
	c.Of, c.Name, c.Default = "", "xid", true
	c.Cost.Every /= 4 * haste
	began := time.Now()
	c.Emit = func() spec.Emitter { return hastened{collector.XidLimits.Emit(), began} }
	server, err := postgres.New(postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	// All of a core, so that nothing but its rhythm holds the collector back.
	e := scrape.New(t.Context(), server, scrape.Options{Collectors: []spec.Collector{c}, Logger: testLogger{t}, Share: 1})
	t.Cleanup(e.Close)
	return e
}

// burner uses up ids at a steady pace: it makes up for what it was late with.
type burner struct {
	conn         *pgx.Conn
	xids, multis float64 // per second, for the server's clock
	began        time.Time
	burntXids    float64
	burntMultis  float64
}

func newBurner(t *testing.T, srv *pgtest.Server, xids, multis float64) *burner {
	t.Helper()
	srv.Exec(t, "CREATE TABLE stock AS SELECT 1 AS id")
	return &burner{conn: session(t, srv, pgtest.Superuser, "postgres"), xids: xids, multis: multis, began: time.Now()}
}

// burn uses up what is due by now.
func (b *burner) burn(t *testing.T) {
	t.Helper()
	elapsed := time.Since(b.began).Seconds()
	b.exactly(t, int(elapsed*b.xids-b.burntXids), int(elapsed*b.multis-b.burntMultis))
}

// exactly uses up so many ids of each kind, of which a multixact takes two
// transaction ids: a row locked by a transaction, and more so by its subtransaction.
func (b *burner) exactly(t *testing.T, xids, multis int) {
	t.Helper()
	multis = max(multis, 0)
	run(t, b.conn, fmt.Sprintf(`DO $$ BEGIN
		FOR i IN 1..%d LOOP
			PERFORM FROM stock FOR KEY SHARE;
			BEGIN
				PERFORM FROM stock FOR NO KEY UPDATE;
			EXCEPTION WHEN division_by_zero THEN
			END;
			COMMIT;
		END LOOP;
		FOR i IN 1..%d LOOP
			PERFORM txid_current();
			COMMIT;
		END LOOP;
	END $$`, multis, max(xids-2*multis, 0)))
	b.burntXids += max(float64(xids), 2*float64(multis))
	b.burntMultis += float64(multis)
}

// forecast is what a page said of one limit, and when.
type forecast struct {
	metric, age string
	limit       float64
	e           *scrape.Engine

	at      time.Time
	seconds float64 // of the server's clock
	reached time.Time
}

// TestXidForecastLive burns ids of both kinds until autovacuum is forced, of each as
// many a second as takes some ten seconds from the first forecast. It holds what a
// primary and its standby forecast to be true within 20 %.
func TestXidForecastLive(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		settings := map[string]string{
			"autovacuum": "off", "log_autovacuum_min_duration": "0", "synchronous_commit": "off",
			"hot_standby_feedback":      "off",                                                    // which would keep vacuum from freezing
			"autovacuum_freeze_max_age": "100000", "autovacuum_multixact_freeze_max_age": "10000", // the least they may be
		}
		primary := pgtest.New(t, major, pgtest.Options{Settings: settings})
		standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary, Settings: settings})
		b := newBurner(t, primary, 6200, 600)
		onPrimary, onStandby := watchHastened(t, primary), watchHastened(t, standby)
		const xids, multis = "max(age(datfrozenxid))", "max(mxid_age(datminmxid))"
		forecasts := []*forecast{
			{metric: "pg_xid_until_forced_vacuum_seconds", age: xids, limit: 100000, e: onPrimary},
			{metric: "pg_xid_multixact_until_forced_vacuum_seconds", age: multis, limit: 10000, e: onPrimary},
			{metric: "pg_xid_until_forced_vacuum_seconds", age: xids, limit: 100000, e: onStandby},
			{metric: "pg_xid_multixact_until_forced_vacuum_seconds", age: multis, limit: 10000, e: onStandby},
		}
		watchForecasts(t, primary, b, forecasts)
		for _, f := range forecasts {
			truth := f.reached.Sub(f.at).Seconds()
			t.Logf("%s said %.2f s, and it was %.2f s", f.metric, f.seconds, truth)
			if math.Abs(f.seconds-truth) > truth/5 {
				t.Errorf("%s said %v s, and it was %v s", f.metric, f.seconds, truth)
			}
		}
		for _, e := range []*scrape.Engine{onPrimary, onStandby} {
			page := eventually(t, e, "pg_xid_until_forced_vacuum_seconds", all(
				has("pg_xid_until_forced_vacuum_seconds", 0), has("pg_xid_multixact_until_forced_vacuum_seconds", 0)))
			stop, rate := page.value(t, "pg_xid_until_stop_seconds"), page.value(t, "pg_xid_transaction_ids_per_second")
			if left := page.value(t, "pg_xid_stop_age") - 100000; math.Abs(stop*rate-left) > left/100 {
				t.Errorf("at %v ids a second there are %v s until the stop, which is %v ids away", rate, stop, left)
			}
		}

		// The server looks whether it is time at every 65536th id, autovacuum or not.
		b.exactly(t, 70000, 0)
		for began := time.Now(); ageOf(t, primary, xids) >= 100000; time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatal("no vacuum was forced")
			}
		}
		if !strings.Contains(primary.Log(), "to prevent wraparound") {
			t.Error("ids were frozen, and not by a vacuum that was forced")
		}
		eventually(t, onPrimary, "pg_xid_until_forced_vacuum_seconds", func(s snapshot) bool {
			left := s.values("pg_xid_until_forced_vacuum_seconds")
			return len(left) == 1 && left[0] > 0
		})

		// What was known of the rate outlives the server.
		total := scrapePage(t, onPrimary).value(t, "pg_xid_transaction_ids_total")
		if err := primary.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		restarted := float64(time.Now().UnixMicro()) / 1e6
		page := eventually(t, onPrimary, "pg_xid_transaction_ids_total", func(s snapshot) bool {
			return s.sum("pgvigil_collector_last_success_timestamp_seconds") > restarted && s.sum("pg_xid_transaction_ids_total") >= total
		})
		if rate := page.value(t, "pg_xid_transaction_ids_per_second"); rate <= 0 {
			t.Errorf("after a restart the rate is %v", rate)
		}
	})
}

// watchForecasts burns ids and takes note of the first forecasts, until each has
// been put to the test.
func watchForecasts(t *testing.T, srv *pgtest.Server, b *burner, forecasts []*forecast) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		b.burn(t)
		open := 0
		for _, f := range forecasts {
			if f.at.IsZero() {
				page := scrapePage(t, f.e)
				if left := page.values(f.metric); len(left) == 1 {
					at := page.value(t, "pgvigil_collector_last_success_timestamp_seconds")
					f.at, f.seconds = time.UnixMicro(int64(at*1e6)), left[0]/haste
				}
			}
			if f.reached.IsZero() && ageOf(t, srv, f.age) >= f.limit {
				f.reached = time.Now()
			}
			if f.reached.IsZero() {
				open++
			}
		}
		if open == 0 {
			for _, f := range forecasts {
				if f.at.IsZero() {
					t.Fatalf("%s never came", f.metric)
				}
			}
			return
		}
	}
	t.Fatal("a limit was never reached")
}

func ageOf(t *testing.T, srv *pgtest.Server, age string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(srv.Query(t, "postgres", "SELECT "+age+" FROM pg_database"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestXidOfSubtransactions: ids count as they are taken, not when the transaction
// that has them in its subtransactions ends.
func TestXidOfSubtransactions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE TABLE t (id int)")
		const total, taken = "pg_xid_transaction_ids_total", 1000
		before := scrapePage(t, watch(t, srv, pgtest.Monitor, "xid")).value(t, total)
		batch := session(t, srv, pgtest.Superuser, db, "BEGIN", fmt.Sprintf(`DO $$ BEGIN
			FOR i IN 1..%d LOOP
				BEGIN
					INSERT INTO t VALUES (i);
				EXCEPTION WHEN division_by_zero THEN
				END;
			END LOOP;
		END $$`, taken))
		during := scrapePage(t, watch(t, srv, pgtest.Monitor, "xid")).value(t, total)
		if during < before+taken {
			t.Errorf("%s rose by %v, and %d were taken", total, during-before, taken)
		}
		run(t, batch, "ROLLBACK")
		if after := scrapePage(t, watch(t, srv, pgtest.Monitor, "xid")).value(t, total); after < during {
			t.Errorf("%s fell from %v to %v", total, during, after)
		}
	})
}

// TestXidHalfDropped: a database whose DROP was interrupted holds nothing back, so
// that its age says nothing.
func TestXidHalfDropped(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		srv.Exec(t, "CREATE DATABASE halfway",
			"DO $$ BEGIN FOR i IN 1..1000 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$",
			"UPDATE pg_database SET datallowconn = true WHERE datname = 'template0'",
			"UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'halfway'")
		for _, db := range []string{"template0", "template1", "postgres"} {
			srv.ExecIn(t, db, "VACUUM FREEZE")
		}
		srv.Exec(t, "CHECKPOINT")
		oldest := srv.Query(t, "postgres", `
			SELECT datname FROM pg_control_checkpoint() JOIN pg_database ON oid = oldest_xid_dbid AND age(datfrozenxid) <= age(oldest_xid)`)
		if oldest == "" || oldest == "halfway" {
			t.Fatalf("the oldest database of the server is %q", oldest)
		}
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "xid"))
		page.succeeded(t, "xid", "xid_limits")
		page.value(t, "pg_xid_datfrozenxid_age", "datname", "template0")
		page.absent(t, "pg_xid_datfrozenxid_age", "datname", "halfway")
		page.absent(t, "pg_xid_datminmxid_age", "datname", "halfway")
	})
}
