package collector_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

const notAfter = "pg_tls_certificate_not_after_timestamp_seconds"

// TestTLS reads the certificate of the server and what it says of our session.
func TestTLS(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{TLS: true})
		file, err := os.ReadFile(srv.CertFile())
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(file)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "tls"))
		page.succeeded(t, "tls", "tls_session")
		checkNumbers(t, page, map[string]float64{"pg_tls_enabled": 1, notAfter: float64(cert.NotAfter.Unix())})
		version := srv.Query(t, "postgres",
			"SELECT DISTINCT s.version FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid) WHERE a.application_name = 'pgvigil'")
		if got := page.value(t, "pg_tls_session_info", "sslversion", version); version == "" || got != 1 {
			t.Errorf("the server says %q, the page:\n%s", version, page.text("pg_tls_session_info"))
		}

		// The server speaks TLS, and our session does without.
		page = scrapePage(t, watchDSN(t, strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "sslmode=verify-full", "sslmode=disable", 1), collector.TLS, collector.TLSSession))
		page.succeeded(t, "tls", "tls_session")
		checkNumbers(t, page, map[string]float64{"pg_tls_enabled": 1})
		page.absent(t, notAfter)
		page.absent(t, "pg_tls_session_info")
	})
}

// TestTLSOff has a server without.
func TestTLSOff(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "tls"))
		page.succeeded(t, "tls", "tls_session")
		checkNumbers(t, page, map[string]float64{"pg_tls_enabled": 0})
		page.absent(t, notAfter)
		page.absent(t, "pg_tls_session_info")
	})
}

// watchDSN returns an engine for collectors on a server that is reached in a way
// of its own.
func watchDSN(t *testing.T, dsn string, collectors ...spec.Collector) *scrape.Engine {
	t.Helper()
	server, err := postgres.New(postgres.Config{ConnString: dsn, Probe: scrape.Probe(collectors)})
	if err != nil {
		t.Fatal(err)
	}
	e := scrape.New(t.Context(), server, scrape.Options{Collectors: collectors, Logger: testLogger{t}})
	t.Cleanup(e.Close)
	return e
}
