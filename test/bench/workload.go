package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// workload is what a server under measurement holds, and how it is watched.
type workload struct {
	name       string
	lifted     bool // no budget of series, and a session for each database
	databases  int  // the first is the maintenance database
	tables     int  // in each database, with two indexes each
	sessions   int
	roles      int // that the sessions log in as in turns; 0 is the superuser
	statements int // that each session has run, no two alike
	slots      int
	waiting    bool          // of ten sessions one waits for a lock
	pace       time.Duration // between paced scrapes
	paced      time.Duration // how long they go on
}

const liftedSuffix = "-lifted"

// workloads are those there are, in the order they are measured.
func workloads(quick bool) []workload {
	const halfSecond = 500 * time.Millisecond
	s := workload{name: "S", databases: 1, tables: 50, sessions: 20, pace: halfSecond, paced: 20 * time.Second}
	// Longer than a minute, so that collectors with that rhythm are refreshed meanwhile.
	m := workload{name: "M", databases: 10, tables: 500, sessions: 200, pace: halfSecond, paced: 75 * time.Second}
	l := workload{name: "L", databases: 50, tables: 1000, sessions: 500, roles: 100, statements: 10, slots: 8, waiting: true,
		pace: 15 * time.Second, paced: 5 * time.Minute}
	if quick {
		s.paced, m.paced, l.paced = 5*time.Second, 5*time.Second, 2*l.pace
	}
	list := []workload{s, m, l}
	for _, w := range list {
		w.name += liftedSuffix
		w.lifted = true
		if w.databases == l.databases {
			w.tables = 2000
		}
		list = append(list, w)
	}
	return list
}

// choose returns the workloads that are named; all, if none is.
func choose(all []workload, names string) ([]workload, error) {
	if strings.TrimSpace(names) == "" {
		return all, nil
	}
	var known []string
	for _, w := range all {
		known = append(known, w.name)
	}
	wanted := strings.Fields(names)
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no workload %q: choose of %s", name, strings.Join(known, " "))
		}
	}
	return slices.DeleteFunc(all, func(w workload) bool { return !slices.Contains(wanted, w.name) }), nil
}

// String tells what the workload is.
func (w workload) String() string {
	return fmt.Sprintf("%s: %d databases of %d tables, %d sessions", w.name, w.databases, w.tables, w.sessions)
}

const mainDatabase = "postgres"

func databaseName(i int) string {
	if i == 0 {
		return mainDatabase
	}
	return fmt.Sprintf("app%d", i)
}

func roleName(i int) string { return fmt.Sprintf("role%d", i) }

const tablesSQL = `
DO $$
BEGIN
	FOR i IN 1..%d LOOP
		EXECUTE format('CREATE TABLE t%%s (id int PRIMARY KEY, v int, note text)', i);
		EXECUTE format('CREATE INDEX ON t%%s (v)', i);
		EXECUTE format('INSERT INTO t%%s SELECT g, g, ''note'' FROM generate_series(1, 10) g', i);
	END LOOP;
END
$$`

// useSQL makes each table known to the cumulative statistics: a copied database
// has the tables, and no statistics of them.
const useSQL = `
DO $$
BEGIN
	FOR i IN 1..%d LOOP
		EXECUTE format('INSERT INTO t%%s VALUES (11, 11, ''note'')', i);
	END LOOP;
END
$$;
ANALYZE`

const rolesSQL = `
DO $$
BEGIN
	FOR i IN 0..%d LOOP
		EXECUTE format('CREATE ROLE role%%s LOGIN IN ROLE pg_read_all_data', i);
	END LOOP;
END
$$`

// slotsSQL makes slots of both kinds by turns. They are never read, and hold
// what WAL there will be.
const slotsSQL = `
SELECT CASE i %% 2 WHEN 0 THEN pg_create_physical_replication_slot('slot' || i)
       ELSE pg_create_logical_replication_slot('slot' || i, 'pgoutput') END
  FROM generate_series(1, %d) i`

// statementSize is the length of a statement's text.
const statementSize = 2 << 10

// statementText is one of many statements that no two are alike: their constants
// are of other types, which pg_stat_statements tells apart where it does not the
// values.
func statementText(i int) string {
	types := []string{"int2", "int4", "int8", "float4", "float8", "numeric", "text", "bool"}
	var columns []string
	for range 5 {
		columns = append(columns, "'1'::"+types[i%len(types)])
		i /= len(types)
	}
	list := strings.Join(columns, ", ")
	return "SELECT /*" + strings.Repeat(" a long statement", (statementSize-len(list))/len(" a long statement")) + " */ " + list
}
