package collector_test

import (
	"os"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// hbaFile has each way to write an address, and what is nearly one of them.
const hbaFile = `
local     all all                           trust
host      all all 127.0.0.1/32              trust
host      all all ::1/128                   trust
host      all all samehost                  trust
host      all all 127.0.0.0/4               trust
host      all all 10.0.0.0/0                trust
host      all all 192.168.0.0/16            trust
host      all all 0.0.0.0/0                 md5
host      all all ::/0                      scram-sha-256
host      all all all                       password
hostnossl all all 192.168.1.0 255.255.255.0 password
host      all all 127.0.0.1/32              password
hostssl   all all all                       password
host      all all 10.0.0.0/7                scram-sha-256
host      all all fd00::/8                  md5
host      all all fe80::1%lo/64             md5
host      all all samenet                   md5
host      all all db.example.com            md5
host      all all .example.com              md5
host      all all 8.8.8.8/32                reject
host      all all 0.0.0.0/0                 reject
`

// rule is a label set of pg_hba_rules.
type rule struct{ kind, class, method string }

// TestHba rewrites pg_hba.conf, which is read as it is, loaded or not.
func TestHba(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "hba"))
		for _, name := range []string{"hba", "hba_weak"} {
			page.value(t, "pgvigil_collector_skipped", "collector", name, "reason", "privilege")
		}
		srv.Exec(t, collector.Hba.Needs.Grant)
		rewriteHba(t, srv, hbaFile)
		want := map[rule]float64{
			{"local", "local", "trust"}: 1, {"host", "local", "trust"}: 3, {"host", "public", "trust"}: 1,
			{"host", "all", "trust"}: 1, {"host", "private", "trust"}: 1,
			{"host", "all", "md5"}: 1, {"host", "all", "scram-sha-256"}: 1, {"host", "all", "password"}: 1,
			{"hostnossl", "private", "password"}: 1, {"host", "local", "password"}: 1,
			{"host", "public", "scram-sha-256"}: 1, {"host", "private", "md5"}: 3, {"host", "name", "md5"}: 2,
			{"host", "public", "reject"}: 1, {"host", "all", "reject"}: 1,
		}
		weak := map[string]float64{
			// A rule for TLS where that is off is no error that the server stumbles over.
			"pg_hba_errors": 0, "pg_hba_trust_local_rules": 4, "pg_hba_trust_remote_rules": 3,
			"pg_hba_trust_all_addresses_rules": 1, "pg_hba_all_addresses_rules": 4, "pg_hba_clear_password_rules": 2,
		}
		checkHba(t, srv, want, weak)

		rewriteHba(t, srv, hbaFile+"host all all 0.0.0.0/0 nonsense\nhost all all\n")
		weak["pg_hba_errors"] = 2
		checkHba(t, srv, want, weak)

		rewriteHba(t, srv, "")
		checkHba(t, srv, nil, map[string]float64{
			"pg_hba_errors": 0, "pg_hba_trust_local_rules": 0, "pg_hba_trust_remote_rules": 0,
			"pg_hba_trust_all_addresses_rules": 0, "pg_hba_all_addresses_rules": 0, "pg_hba_clear_password_rules": 0,
		})
	})
}

// TestHbaTLS has passwords asked for in clear under encryption, which is no sin,
// and where it may be missing.
func TestHbaTLS(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{TLS: true})
		srv.Exec(t, collector.Hba.Needs.Grant)
		rewriteHba(t, srv, "hostssl all all all password\nhostnogssenc all all 10.0.0.1/32 password\n")
		checkHba(t, srv, map[rule]float64{
			{"hostssl", "all", "password"}: 1, {"hostnogssenc", "private", "password"}: 1,
		}, map[string]float64{"pg_hba_errors": 0, "pg_hba_all_addresses_rules": 1, "pg_hba_clear_password_rules": 1})
	})
}

func rewriteHba(t *testing.T, srv *pgtest.Server, text string) {
	t.Helper()
	if err := os.WriteFile(srv.Query(t, "postgres", "SHOW hba_file"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkHba(t *testing.T, srv *pgtest.Server, want map[rule]float64, weak map[string]float64) {
	t.Helper()
	page := scrapePage(t, watch(t, srv, pgtest.Monitor, "hba"))
	page.succeeded(t, "hba", "hba_weak")
	for r, n := range want {
		if got := page.sum("pg_hba_rules", "type", r.kind, "address_class", r.class, "auth_method", r.method); got != n {
			t.Errorf("%v rules are %v, want %v", got, r, n)
		}
	}
	if got := len(page.values("pg_hba_rules")); got != len(want) {
		t.Errorf("the rules are of %d kinds, want %d:\n%s", got, len(want), page.text("pg_hba_rules"))
	}
	checkNumbers(t, page, weak)
}
