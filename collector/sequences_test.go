package collector_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// sequencesScene makes a sequence that pg_monitor may read and one it may not.
func sequencesScene(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	primary.Exec(t, "CREATE TABLE tickets (id serial, at bigserial)", "INSERT INTO tickets SELECT FROM generate_series(1, 1000)",
		"GRANT SELECT ON tickets_id_seq TO pgvigil")
}

// TestSequences has sequences of every kind at a known place of their range.
func TestSequences(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db,
			"CREATE TABLE plain (id serial)", "SELECT setval('plain_id_seq', 1073741824)",
			"CREATE TABLE identity (id smallint GENERATED ALWAYS AS IDENTITY)", "SELECT setval('identity_id_seq', 32767)",
			// The sequence is wider than its column.
			"CREATE SEQUENCE wide", "CREATE TABLE narrow (id int DEFAULT nextval('wide'))", "ALTER SEQUENCE wide OWNED BY narrow.id",
			"SELECT setval('wide', 2147483647)",
			"CREATE SEQUENCE loose", "CREATE TABLE small (id bigint DEFAULT nextval('loose'), n smallint DEFAULT nextval('loose'))",
			"SELECT setval('loose', 16384)",
			"CREATE DOMAIN number AS int", "CREATE SEQUENCE ruled", "CREATE TABLE rule (id number)", "ALTER SEQUENCE ruled OWNED BY rule.id",
			"SELECT setval('ruled', 1073741824)",
			// This column never sees the value of its sequence.
			"CREATE SEQUENCE cut", "CREATE TABLE remainder (id int DEFAULT (nextval('cut') % 1000)::int)", "SELECT setval('cut', 2147483647)",
			"CREATE SEQUENCE cycling MAXVALUE 10 CYCLE", "SELECT setval('cycling', 10)",
			"CREATE SEQUENCE late CYCLE", "CREATE TABLE early (id int)", "ALTER SEQUENCE late OWNED BY early.id", "SELECT setval('late', 2147483647)",
			"CREATE SEQUENCE down INCREMENT -1 MINVALUE -100", "SELECT setval('down', -75)",
			"CREATE SEQUENCE deep INCREMENT -1", "CREATE TABLE pit (id int)", "ALTER SEQUENCE deep OWNED BY pit.id", "SELECT setval('deep', -1073741824)",
			"CREATE SEQUENCE steps INCREMENT 10 MAXVALUE 100", "SELECT setval('steps', 51)",
			"CREATE SEQUENCE unused", "CREATE SEQUENCE begun MAXVALUE 100 START 91",
			"CREATE SEQUENCE huge", "SELECT setval('huge', 9223372036854775807)",
		)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP SEQUENCE passing MAXVALUE 10")
		half := 1073741824.0 / 2147483647
		want := map[string]float64{
			"plain_id_seq": half, "identity_id_seq": 1, "wide": 1, "loose": 16384.0 / 32767, "ruled": half, "cut": 0, "late": 1,
			"down": 0.75, "deep": 0.5, "steps": 0.6, "unused": 0, "begun": 0.9, "huge": 1,
		}
		whole := []string{"datname", db, "schemaname", "", "sequencename", ""}
		count := float64(len(want))

		readers := []string{pgtest.Superuser}
		if srv.Major >= 14 {
			readers = append(readers, "reader_"+db)
			srv.Exec(t, "CREATE ROLE reader_"+db+" LOGIN IN ROLE pg_monitor, pg_read_all_data")
		}
		for _, user := range readers {
			page := scrapePage(t, watch(t, srv, user, "sequences"))
			if got := page.named("pg_sequences_used_ratio", "sequencename", "datname", db); len(got) != len(want) {
				t.Errorf("as %s the sequences are %v", user, got)
			}
			for name, ratio := range want {
				if got := page.value(t, "pg_sequences_used_ratio", "datname", db, "schemaname", "public", "sequencename", name); math.Abs(got-ratio) > 1e-8 {
					t.Errorf("as %s %s has used %v, want %v", user, name, got, ratio)
				}
			}
			checkCounts(t, page, whole, map[string]float64{"read": count, "cycling": 1, "hidden": 0, "locked": 0, "unread": 0})
		}

		srv.ExecIn(t, db, "GRANT USAGE ON SEQUENCE unused TO pgvigil", "GRANT SELECT ON SEQUENCE wide TO pgvigil")
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "sequences"))
		checkCounts(t, page, whole, map[string]float64{"read": 2, "cycling": 1, "hidden": count - 2, "locked": 0, "unread": 0})
		page.value(t, "pg_sequences_used_ratio", "datname", db, "sequencename", "unused")
		page.absent(t, "pg_sequences_used_ratio", "datname", db, "sequencename", "plain_id_seq")
	})
}

// checkCounts compares the numbers of sequences on a page.
func checkCounts(t *testing.T, page snapshot, labels []string, want map[string]float64) {
	t.Helper()
	for metric, n := range want {
		if got := page.value(t, "pg_sequences_"+metric, labels...); got != n {
			t.Errorf("%v sequences are %s, want %v", got, metric, n)
		}
	}
}

// TestSequencesLocked has a sequence that is being altered, and one that waits to
// be dropped: whoever comes to read it must wait as well.
func TestSequencesLocked(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE SEQUENCE free", "CREATE SEQUENCE altered", "CREATE SEQUENCE doomed")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "ALTER SEQUENCE altered RESTART")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "SELECT nextval('doomed')")
		linger(t, session(t, srv, pgtest.Superuser, db), "DROP SEQUENCE doomed")
		const waiting = "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'doomed'::regclass"
		for began := time.Now(); srv.Query(t, db, waiting) != "1"; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > bound {
				t.Fatal("the drop of the sequence never waited")
			}
		}
		page := scrapePage(t, watch(t, srv, pgtest.Superuser, "sequences"))
		checkCounts(t, page, []string{"datname", db}, map[string]float64{"read": 1, "locked": 2, "hidden": 0, "unread": 0})
		page.value(t, "pg_sequences_used_ratio", "datname", db, "sequencename", "free")
	})
}

// TestSequencesStandby has an unlogged sequence, which a standby does not have.
func TestSequencesStandby(t *testing.T) {
	for _, major := range []int{13, 15, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			primary := pgtest.New(t, major, pgtest.Options{})
			standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
			unlogged := 0.0
			if major >= 15 {
				unlogged = 1
				primary.Exec(t, "CREATE UNLOGGED SEQUENCE fleeting", "SELECT nextval('fleeting')")
			}
			primary.Exec(t, "CREATE SEQUENCE lasting MAXVALUE 100", "SELECT setval('lasting', 50)")
			labels := []string{"datname", "postgres"}
			checkCounts(t, scrapePage(t, watch(t, primary, pgtest.Superuser, "sequences")), labels, map[string]float64{"read": 1 + unlogged})
			page := anew(t, func() *scrape.Engine { return watch(t, standby, pgtest.Superuser, "sequences") }, "pg_sequences_read",
				has("pg_sequences_used_ratio", 0.5, append(labels, "sequencename", "lasting")...))
			checkCounts(t, page, labels, map[string]float64{"read": 1, "hidden": 0, "unread": 0})
		})
	}
}

// TestSequencesMany has more sequences than are read in one statement. The one of
// a table with rows is read, though it is the last that was made.
func TestSequencesMany(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := servers.On(t, major)
		const many, read = 700, 640 // a tenth of 64 locks for each of 100 connections
		db := srv.Database(t)
		srv.ExecIn(t, db, fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE 'CREATE SEQUENCE s' || i; END LOOP; END $$", many-1),
			"CREATE TABLE orders (id serial)", "INSERT INTO orders SELECT FROM generate_series(1, 5000)", "ANALYZE orders",
			"SELECT setval('orders_id_seq', 2147483647)")
		page := scrapePage(t, watch(t, srv, pgtest.Superuser, "sequences"))
		checkCounts(t, page, []string{"datname", db}, map[string]float64{"read": read, "unread": many - read})
		if n := len(page.named("pg_sequences_used_ratio", "sequencename", "datname", db)); n != 20 {
			t.Errorf("%d sequences are named, want 20", n)
		}
		if v := page.value(t, "pg_sequences_used_ratio", "datname", db, "sequencename", "orders_id_seq"); v != 1 {
			t.Errorf("orders_id_seq has used %v", v)
		}
	})
}
