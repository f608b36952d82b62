package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// storageDrills are of vacuum, space, and what is stored.
func storageDrills() []solo {
	return []solo{
		{drill{
			name: "prepared-forgotten", lane: shop,
			does: "a transaction is prepared and nobody ends it",
			expect: []expected{
				{"PostgresPreparedXactOld", "warning", labels{"datname": "postgres"}},
				{"PostgresXminHorizonOld", "warning", labels{"holder": "prepared_xact"}},
			},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "ROLLBACK PREPARED 'forgotten'")
			return m.sql(ctx, "BEGIN; UPDATE accounts SET balance = 0 WHERE id = 1000; PREPARE TRANSACTION 'forgotten'", burn("5000"))
		}},
		{drill{
			name: "slot-holds-rows", lane: stock,
			does:   "a logical slot that nobody reads keeps rows of the catalogs",
			expect: []expected{{"PostgresXminHorizonOld", "warning", labels{"holder": "replication_slot_catalog"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "SELECT pg_drop_replication_slot('nobody_reads')")
			return m.sql(ctx, "SELECT pg_create_logical_replication_slot('nobody_reads', 'pgoutput')", burn("5000"))
		}},
		{drill{
			name: "freeze-blocked", lane: shop,
			does: "an open transaction keeps vacuum from freezing while ids are used up",
			expect: []expected{
				{"PostgresFreezeNotKeepingUp", "warning", labels{"instance": "shop-1"}},
				{"PostgresXminHorizonOld", "warning", labels{"holder": "client"}},
			},
			within: 3 * time.Minute, // the last hour is held against six, so there must be more than an hour
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "VACUUM FREEZE")
			if err := a.transaction(ctx, m, "SELECT pg_current_xact_id()"); err != nil {
				return err
			}
			return m.sql(ctx, burn("170000"))
		}},
		{drill{
			name: "autovacuum-off", lane: shop,
			does: "autovacuum is switched off, and a table is updated twice over",
			expect: []expected{
				{"PostgresAutovacuumDisabled", "warning", labels{"instance": "shop-1"}},
				{"PostgresDeadTuplesHigh", "warning", labels{"datname": "postgres"}},
				{"PostgresStatsStale", "info", labels{"datname": "postgres"}},
			},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS updated")
			if err := a.change(ctx, m, "autovacuum = off"); err != nil {
				return err
			}
			return m.sql(ctx, "CREATE TABLE updated AS SELECT g AS a FROM generate_series(1, 100000) AS g", "VACUUM ANALYZE updated",
				"UPDATE updated SET a = a + 1", "UPDATE updated SET a = a + 1")
		}},
		{drill{
			name: "autovacuum-saturated", lane: shop,
			does:   "the only autovacuum worker crawls, and three tables wait for it",
			expect: []expected{{"PostgresAutovacuumSaturated", "warning", labels{"instance": "shop-1"}}},
			within: 2 * time.Minute,
		}, func(ctx context.Context, m *member, a *attempt) error {
			for i := range 3 {
				table := fmt.Sprintf("waiting%d", i)
				a.healBy(m, "DROP TABLE IF EXISTS "+table)
				if err := m.sql(ctx, "CREATE TABLE "+table+" AS SELECT g AS a FROM generate_series(1, 100000) AS g", "VACUUM ANALYZE "+table); err != nil {
					return err
				}
			}
			if err := a.change(ctx, m, "autovacuum_max_workers = 1", "autovacuum_vacuum_cost_delay = '100ms'", "autovacuum_vacuum_cost_limit = 1"); err != nil {
				return err
			}
			return m.sql(ctx, "UPDATE waiting0 SET a = 0", "UPDATE waiting1 SET a = 0", "UPDATE waiting2 SET a = 0")
		}},
		{drill{
			name: "bloat", lane: stock, lingers: true,
			does: "four fifths of a table are deleted, here and there",
			expect: []expected{
				{"PostgresTableBloat", "info", labels{"datname": "postgres"}},
				{"PostgresIndexBloat", "info", labels{"datname": "postgres"}},
			},
			within: 4 * time.Minute, // bloat is looked for every hour, so every two minutes here
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS bloated")
			return m.sql(ctx, "CREATE TABLE bloated AS SELECT g AS a, repeat('x', 50) AS b FROM generate_series(1, 300000) AS g",
				"CREATE INDEX ON bloated (a)", "DELETE FROM bloated WHERE a % 5 > 0", "VACUUM ANALYZE bloated")
		}},
		{drill{
			name: "sequence-end", lane: stock,
			does:   "a serial has used nearly all numbers that an integer has",
			expect: []expected{{"PostgresSequenceExhaustion", "critical", labels{"datname": "postgres"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS numbered")
			return m.sql(ctx, "CREATE TABLE numbered (id serial)", "SELECT setval('numbered_id_seq', 2100000000)")
		}},
		{drill{
			name: "invalid-index", lane: stock,
			does:   "CREATE UNIQUE INDEX CONCURRENTLY fails over two equal rows",
			expect: []expected{{"PostgresInvalidIndex", "warning", labels{"datname": "postgres"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS twice")
			if err := m.sql(ctx, "CREATE TABLE twice AS SELECT 1 AS a FROM generate_series(1, 2)"); err != nil {
				return err
			}
			if err := m.sql(ctx, "CREATE UNIQUE INDEX CONCURRENTLY ON twice (a)"); err == nil {
				return errors.New("two equal rows are in a unique index")
			}
			return nil
		}},
		{drill{
			name: "temp-files", lane: shop,
			does:   "a query sorts on disk, over and over",
			expect: []expected{{"PostgresTempFilesHigh", "warning", labels{"instance": "shop-1"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.running(ctx, m, time.Second, "SET work_mem = '64kB'; SELECT count(*) FROM (SELECT g FROM generate_series(1, 400000) AS g ORDER BY g DESC OFFSET 0) AS s")
			return nil
		}},
		{drill{
			name: "cache-too-small", lane: stock,
			does:   "queries read a table that does not fit in shared buffers",
			expect: []expected{{"PostgresCacheHitLow", "info", labels{"instance": "stock-1"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS wide")
			if err := m.sql(ctx, "CREATE TABLE wide WITH (fillfactor = 10) AS SELECT repeat('x', 700) AS b FROM generate_series(1, 8000)"); err != nil {
				return err
			}
			a.running(ctx, m, 100*time.Millisecond, "SELECT count(*) FROM wide")
			return nil
		}},
		{drill{
			name: "checkpoints-requested", lane: stock, lingers: true,
			does:   "max_wal_size is far too small for a load",
			expect: []expected{{"PostgresCheckpointsRequested", "info", labels{"instance": "stock-1"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS loaded")
			if err := m.sql(ctx, "CREATE TABLE loaded (a text)"); err != nil {
				return err
			}
			if err := a.change(ctx, m, "max_wal_size = '32MB'", "min_wal_size = '32MB'"); err != nil {
				return err
			}
			a.running(ctx, m, 500*time.Millisecond, "INSERT INTO loaded SELECT repeat('x', 500) FROM generate_series(1, 16000); TRUNCATE loaded")
			return nil
		}},
		{drill{
			name: "checkpointer-hangs", lane: shop,
			does:   "the checkpointer stands still, and sessions must sync files themselves",
			expect: []expected{{"PostgresBackendFsync", "warning", labels{"instance": "shop-1"}}},
		}, hangCheckpointer},
		{drill{
			name: "page-damaged", lane: shop, short: true, lingers: true,
			does:   "a page of a table is overwritten on disk, and read",
			expect: []expected{{"PostgresChecksumFailure", "critical", labels{"datname": "postgres"}}},
		}, damagePage},
	}
}

// hangCheckpointer makes more new files than its queue has room for, and some more all
// the time.
func hangCheckpointer(ctx context.Context, m *member, a *attempt) error {
	conn, err := a.session(ctx, m, pgtest.Superuser)
	if err != nil {
		return err
	}
	const drop = `DO $$ DECLARE t regclass; BEGIN
		FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'many'::regnamespace AND relkind = 'r' LOOP
			EXECUTE format('DROP TABLE %s', t);
			COMMIT; -- the lock table has no room for all of them
		END LOOP; END $$`
	a.healBy(m, drop, "DROP SCHEMA many CASCADE")
	if err := m.sql(ctx, "CREATE SCHEMA many", "CREATE SEQUENCE many.n"); err != nil {
		return err
	}
	if err := stopProcess(ctx, a, conn, "checkpointer"); err != nil {
		return err
	}
	const create = `DO $$ BEGIN FOR i IN 1..%d LOOP
		EXECUTE format('CREATE TABLE many.t%%s AS SELECT 1 AS a', nextval('many.n'));
		COMMIT;
	END LOOP; END $$`
	if err := m.sql(ctx, fmt.Sprintf(create, 2100)); err != nil { // the queue has a place for each shared buffer
		return err
	}
	a.running(ctx, m, time.Second, fmt.Sprintf(create, 10))
	return nil
}

// damagePage writes into a page that is on disk and in no buffer.
func damagePage(ctx context.Context, m *member, a *attempt) error {
	conn, err := a.session(ctx, m, pgtest.Superuser)
	if err != nil {
		return err
	}
	a.healBy(m, "DROP TABLE IF EXISTS damaged", "DROP EXTENSION IF EXISTS pg_buffercache")
	var path string
	for _, statement := range []string{
		"CREATE EXTENSION pg_buffercache", "CREATE TABLE damaged AS SELECT g AS a FROM generate_series(1, 1000) AS g", "CHECKPOINT",
		"SELECT pg_buffercache_evict_relation('damaged')",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if err := conn.QueryRow(ctx, "SELECT pg_relation_filepath('damaged')").Scan(&path); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(m.Dir(), path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt([]byte("damage"), 8000)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT * FROM damaged"); err == nil {
		return errors.New("the page reads well")
	}
	return nil
}
