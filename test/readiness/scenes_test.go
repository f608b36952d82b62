package readiness

import (
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

//go:embed harden.sh
var hardenScript string

const loopback = "127.0.0.1"

// hardenedStage is what harden.sh has made, running.
type hardenedStage struct {
	dir              string
	major            int
	primary, standby *pgtest.Server
	from             netip.Addr // where the application is
	config           string
}

func harden(t *testing.T, major int) *hardenedStage {
	t.Helper()
	pgtest.Program(t, "openssl")
	away, ok := pgtest.Away()
	if !ok {
		t.Fatal("this machine has no address but the loopback's: give it one, such as 192.0.2.1 of a dummy interface")
	}
	h := &hardenedStage{dir: pgtest.MakeDir(t), major: major, from: away}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	ports := []int{pgtest.FreePort(t), pgtest.FreePort(t)}
	network := netip.PrefixFrom(h.from, 24).Masked()
	pgtest.Run(t, hardenScript, "env", "ADMIN="+me.Username, "SHARED_BUFFERS=32MB", "NETWORKS="+loopback+"/32 "+network.String(),
		"PORT="+strconv.Itoa(ports[0]), "STANDBY_PORT="+strconv.Itoa(ports[1]), "sh", "-s", "--", pgtest.BinDir(t, major), h.dir)
	text, err := os.ReadFile(h.file("pgvigil.yml"))
	if err != nil {
		t.Fatal(err)
	}
	h.config = string(text)
	h.tellOfBackups(t)
	h.primary = h.start(t, "primary", ports[0])
	h.standby = h.start(t, "standby", ports[1])

	// The application, over TLS, and what stands for a failover manager: its session.
	keep(t, h.way(t, "app", "shop", h.from, "shop"))
	keep(t, h.way(t, pgtest.Superuser, "postgres", netip.Addr{}, "Patroni heartbeat"))
	h.primary.Exec(t, "SELECT pg_switch_wal()") // for the archive
	return h
}

func (h *hardenedStage) start(t *testing.T, name string, port int) *pgtest.Server {
	t.Helper()
	return pgtest.New(t, h.major, pgtest.Options{Dir: h.file(name), Made: &pgtest.Made{Port: port, DSN: func(user, database string) string {
		return h.dsn(t, port, user, database)
	}}})
}

func (h *hardenedStage) file(name string) string { return filepath.Join(h.dir, name) }

// dsn is the way in that harden.sh has left open for a role.
func (h *hardenedStage) dsn(t *testing.T, port int, user, database string) string {
	t.Helper()
	if user == pgtest.Superuser {
		params := url.Values{"host": {h.file("run")}, "port": {strconv.Itoa(port)}}
		return (&url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + database, RawQuery: params.Encode()}).String()
	}
	password, err := os.ReadFile(h.file("secrets/" + user))
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(user, strings.TrimSpace(string(password))),
		Host: net.JoinHostPort(loopback, strconv.Itoa(port)), Path: "/" + database,
		RawQuery: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {h.file("tls/ca.crt")}}.Encode(),
	}).String()
}

// way is how a role reaches the primary, from an address if one is given.
func (h *hardenedStage) way(t *testing.T, user, database string, from netip.Addr, name string) *pgconn.Config {
	t.Helper()
	config, err := pgconn.ParseConfig(h.dsn(t, h.primary.Port(), user, database))
	if err != nil {
		t.Fatal(err)
	}
	if from.IsValid() {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		config.DialFunc = dialer.DialContext
	}
	config.RuntimeParams["application_name"] = name
	return config
}

// as is the configuration with another role.
func (h *hardenedStage) as(user string) string {
	return strings.NewReplacer("user: pgvigil,", "user: "+user+",", "secrets/pgvigil,", "secrets/"+user+",").Replace(h.config)
}

// tellOfBackups writes what jobs of backups and restore tests would: two backups with
// all WAL between them, and a restore that was tested.
func (h *hardenedStage) tellOfBackups(t *testing.T) {
	t.Helper()
	const segment = "000000010000000000000001"
	put(t, h.file("backups.json"), fmt.Sprintf(`{"format": 1, "tool": "nightly", "stanza": "shop", "restore_proven": %d,
		"backups": [%s, %s], "wal": [{"timeline": 1, "first": %q, "last": %[4]q, "missing": []}]}`,
		ago(3*24), backup("old", 20*24, segment), backup("new", 2, segment), segment))
}

// spoil does to the primary what people do: a rule without TLS and a client that goes by
// it, a table damaged on disk, a standby that hangs.
func (h *hardenedStage) spoil(t *testing.T) {
	t.Helper()
	hba, err := os.OpenFile(filepath.Join(h.primary.Dir(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hba.Close()
	if _, err := fmt.Fprintf(hba, "host all app %s/32 scram-sha-256\n", h.from); err != nil {
		t.Fatal(err)
	}
	h.primary.Exec(t, "SELECT pg_reload_conf()")
	clear := h.way(t, "app", "shop", h.from, "")
	clear.TLSConfig, clear.Fallbacks = nil, nil
	keep(t, clear)

	h.primary.ExecIn(t, "shop", "CREATE TABLE rotten (v int); INSERT INTO rotten VALUES (1)", "CHECKPOINT")
	// A page behind the last, which is in nobody's cache.
	path := h.primary.Query(t, "shop", "SELECT pg_relation_filepath('rotten')")
	table, err := os.OpenFile(filepath.Join(h.primary.Dir(), path), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := table.WriteString(strings.Repeat("rotten! ", 1024)); err != nil {
		t.Fatal(err)
	}
	fails(t, h.primary, "shop", "SELECT count(*) FROM rotten", "XX001")

	if err := h.standby.Freeze(); err != nil {
		t.Fatal(err)
	}
	// Not transactional, so that nothing waits for the standby.
	h.primary.Exec(t, "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 8)")
}

// orphan ends the primary, and lets the standby go on.
func (h *hardenedStage) orphan(t *testing.T) {
	t.Helper()
	if err := h.primary.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.standby.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// neglectedStage is a server that nobody looks after.
type neglectedStage struct {
	srv  *pgtest.Server
	held *pgx.Conn // a transaction that somebody has forgotten
}

func neglect(t *testing.T, major int) *neglectedStage {
	t.Helper()
	initdb := []string{"-E", "UTF8", "--locale=C"}
	if major >= 18 {
		initdb = append(initdb, "--no-data-checksums")
	}
	srv := pgtest.New(t, major, pgtest.Options{
		TLS: true, InitDB: initdb,
		HBA: "host all all all trust\nhost all all 192.0.2.0/24 password",
		Settings: map[string]string{
			"archive_command":             "false",
			"autovacuum":                  "off",
			"autovacuum_max_workers":      "1",
			"effective_cache_size":        "512MB",
			"log_autovacuum_min_duration": "-1",
			"log_lock_waits":              "off",
			"max_connections":             "20",
			"password_encryption":         "md5",
			"pg_stat_statements.max":      "100",
			"shared_buffers":              "2MB",
			"ssl_min_protocol_version":    "TLSv1",
			"synchronous_commit":          "local",
			"synchronous_standby_names":   "ANY 1 (nobody)",
			"track_io_timing":             "off",
			"wal_sender_timeout":          "0",
			"work_mem":                    "64MB",
		},
	})
	n := &neglectedStage{srv: srv}
	// All addresses, of which it gets none: the port is taken on the first already.
	srv.Exec(t, "ALTER SYSTEM SET listen_addresses = '127.0.0.1, 0.0.0.0'")
	if err := srv.Certify(time.Now().AddDate(0, 0, 5)); err != nil {
		t.Fatal(err)
	}
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "SELECT pg_create_physical_replication_slot('left', true)")
	from := srv.Query(t, "postgres", "SELECT restart_lsn FROM pg_replication_slots")
	n.roles(t)
	n.tables(t, major)
	n.work(t)
	n.sessions(t, from)
	// From now on a reload would change nothing of pg_hba.conf.
	hba, err := os.OpenFile(filepath.Join(srv.Dir(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hba.Close()
	if _, err := hba.WriteString("host all all nonsense\n"); err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "ALTER SYSTEM SET max_wal_senders = 5", "SELECT pg_reload_conf()")
	return n
}

func (n *neglectedStage) roles(t *testing.T) {
	t.Helper()
	n.srv.Exec(t,
		"CREATE ROLE boss LOGIN SUPERUSER",
		"CREATE ROLE shopper LOGIN PASSWORD 'x'", // kept as MD5
		"GRANT CREATE ON SCHEMA public TO PUBLIC",
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO pgvigil",
		"GRANT SELECT ON pg_catalog.pg_authid TO pgvigil")
}

func (n *neglectedStage) tables(t *testing.T, major int) {
	t.Helper()
	n.srv.Exec(t,
		"CREATE EXTENSION pg_stat_statements",
		"CREATE EXTENSION pg_trgm VERSION '1.3'",
		// Large, without a key, read from end to end, with an index that serves nothing, twice.
		"CREATE TABLE big (id int, v text)",
		"INSERT INTO big SELECT g, md5(g::text) FROM generate_series(1, 60000) AS g",
		"CREATE INDEX big_v ON big (v)", "CREATE INDEX big_w ON big (v)",
		"ALTER TABLE big SET (autovacuum_enabled = off)",
		"ALTER TABLE big OWNER TO shopper",
		"CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (parent int REFERENCES parent)",
		"CREATE SEQUENCE short MAXVALUE 100", "SELECT setval('short', 99)",
		"CREATE TABLE twice (v int)", "INSERT INTO twice VALUES (1), (1)",
		// Mostly empty space.
		"CREATE TABLE waste (id int, v text)", "INSERT INTO waste SELECT g, repeat('x', 50) FROM generate_series(1, 20000) AS g",
		"DELETE FROM waste WHERE id % 20 <> 0", "VACUUM waste", "ANALYZE waste",
		"DO $$ BEGIN FOR i IN 1..12 LOOP EXECUTE format('CREATE TABLE due%s AS SELECT 0 AS v FROM generate_series(1, 100)', i); END LOOP; END $$")
	fails(t, n.srv, "postgres", "CREATE UNIQUE INDEX CONCURRENTLY invalid ON twice (v)", "23505")
	if major >= 14 {
		n.srv.Exec(t, "GRANT pg_read_all_data TO pgvigil")
	} else {
		n.srv.Exec(t, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgvigil", "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO pgvigil")
	}
}

// work is what statistics tell of: rows that are due for vacuum, scans, a sort that spills, checkpoints on demand,
// more statements than there is room for, a file that cannot be archived.
func (n *neglectedStage) work(t *testing.T) {
	t.Helper()
	var many strings.Builder
	for i := range 120 {
		fmt.Fprintf(&many, "SELECT 1%s;", strings.Repeat(", 1", i))
	}
	n.srv.Exec(t,
		"SELECT pg_stat_reset()", // what making the tables has hit and read says nothing
		"DO $$ BEGIN FOR i IN 1..12 LOOP EXECUTE format('UPDATE due%s SET v = 1', i); END LOOP; END $$",
		"DO $$ BEGIN FOR i IN 1..110 LOOP PERFORM count(*) FROM big; END LOOP; END $$",
		"SET work_mem = '64kB'; SELECT count(*) FROM (SELECT v FROM big ORDER BY v || '!') AS sorted",
		strings.Repeat("CHECKPOINT;", 12),
		many.String(),
		// More than fits between a sender and who does not read.
		"SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 32)",
		"SELECT pg_switch_wal()")
}

// sessions fill the server: idle ones of an owner of tables, a superuser in a
// transaction, and a standby that does not come after.
func (n *neglectedStage) sessions(t *testing.T, from string) {
	t.Helper()
	for range 13 {
		n.srv.Conn(t, "shopper", "postgres")
	}
	n.held = n.srv.Conn(t, pgtest.Superuser, "postgres")
	if _, err := n.held.Exec(t.Context(), "BEGIN; SELECT txid_current()"); err != nil {
		t.Fatal(err)
	}
	config, err := pgconn.ParseConfig(n.srv.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["replication"] = "true"
	config.RuntimeParams["application_name"] = "slow"
	sender := keep(t, config)
	sender.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION PHYSICAL " + from})
	if err := sender.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
}

// breakMore makes what cannot be beside the rest: no TLS, no archive, no statistics of
// statements, and a collector that fails for a lock.
func (n *neglectedStage) breakMore(t *testing.T) {
	t.Helper()
	n.srv.Exec(t, "DROP EXTENSION pg_stat_statements", "ALTER SYSTEM SET archive_command = ''", "ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()")
	if _, err := n.held.Exec(t.Context(), "LOCK TABLE pg_catalog.pg_sequence IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
}

// config is a configuration for the server as a role, with TLS and old backups, or
// without any.
func (n *neglectedStage) config(t *testing.T, user string, tls bool) string {
	t.Helper()
	way := "sslmode: disable"
	facts := `{"format": 1, "backups": []}`
	if tls {
		way = "sslmode: verify-full, sslrootcert: " + n.srv.CertFile()
		facts = fmt.Sprintf(`{"format": 1, "backups": [%s, %s], "restore_proven": %d}`, backup("old", 110, ""), backup("new", 100, ""), ago(100*24))
	}
	path := filepath.Join(t.TempDir(), "backups.json")
	put(t, path, facts)
	return fmt.Sprintf(`targets:
  - {name: server, host: %s, port: %d, dbname: postgres, user: %s, %s}
backups:
  - {kind: file, stanza: shop, path: %s, page: server}
readiness:
  remote_standby: elsewhere
`, n.srv.Host(), n.srv.Port(), user, way, path)
}

// backup is a full backup of a file of facts that ended some hours ago.
func backup(label string, hours int, segment string) string {
	wal := ""
	if segment != "" {
		wal = fmt.Sprintf(`, "start_wal": %q, "stop_wal": %[1]q`, segment)
	}
	return fmt.Sprintf(`{"label": %q, "type": "full", "state": "done", "start": %d, "stop": %d%s}`, label, ago(hours)-60, ago(hours), wal)
}

// ago is a Unix time some hours ago.
func ago(hours int) int64 { return time.Now().Add(-time.Duration(hours) * time.Hour).Unix() }

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// keep connects until the end of the test. A server that has been told of a change of
// its rules may need a moment to go by them.
func keep(t *testing.T, config *pgconn.Config) *pgconn.PgConn {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err == nil {
			t.Cleanup(func() { conn.Conn().Close() })
			return conn
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
}

// fails runs a statement that ends with an error.
func fails(t *testing.T, srv *pgtest.Server, database, sql, code string) {
	t.Helper()
	conn := srv.Conn(t, pgtest.Superuser, database)
	_, err := conn.Exec(t.Context(), sql)
	var said *pgconn.PgError
	if !errors.As(err, &said) || said.Code != code {
		t.Fatalf("%s: %v, want %s", sql, err, code)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
