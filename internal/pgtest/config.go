package pgtest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// configure writes the files of a data directory that do not change while it is in use.
func (s *Server) configure() error {
	if s.opt.HBA != "" {
		hba := "host all,replication " + Superuser + " " + host + "/32 trust\n" + s.opt.HBA + "\n"
		if err := writeFile(s.file("pg_hba.conf"), hba); err != nil {
			return err
		}
	}
	if s.opt.TLS {
		if _, err := os.Stat(s.CertFile()); err == nil {
			return nil // of an earlier Start with the same Dir
		}
		if err := s.Certify(time.Now().AddDate(1, 0, 0)); err != nil {
			return err
		}
	}
	return nil
}

// conf is the text of the file that postgresql.conf includes: there, not on the command line, ALTER SYSTEM, reloads
// and pg_settings.source are as on a server at work.
func (s *Server) conf() string {
	set := s.settings()
	// These are not for Options to choose.
	set["listen_addresses"] = host
	set["port"] = strconv.Itoa(s.port)
	set["unix_socket_directories"] = s.socketDir()

	escape := strings.NewReplacer(`'`, `''`, `\`, `\\`)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, escape.Replace(set[name]))
	}
	return text.String()
}

func (s *Server) settings() map[string]string {
	set := ordinary(s.Major)
	if up := s.opt.StandbyOf; up != nil {
		s.follow(up, set)
	}
	if s.opt.TLS {
		set["ssl"] = "on"
	}
	maps.Copy(set, s.opt.Settings)
	maps.DeleteFunc(set, func(_, value string) bool { return value == "" })
	return set
}

// ordinary are the settings of a server that has everything on that pgvigil can look at.
func ordinary(major int) map[string]string {
	set := map[string]string{
		"archive_command":            "true",
		"dynamic_shared_memory_type": "mmap", // in the data directory, so that a killed server leaves none in /dev/shm
		"archive_mode":               "on",
		"fsync":                      "off", // nobody needs the data after a crash of the machine
		"max_prepared_transactions":  "10",
		"shared_buffers":             "16MB",
		"shared_preload_libraries":   "pg_stat_statements",
		"track_functions":            "all",
		"track_io_timing":            "on",
		"wal_level":                  "logical",
	}
	if major >= 14 {
		set["compute_query_id"] = "on"
		set["track_wal_io_timing"] = "on"
	}
	return set
}

// follow adds the settings of a standby.
func (s *Server) follow(up *Server, set map[string]string) {
	// With less of these than its primary a hot standby ends (13) or pauses replay for good (14).
	theirs := up.settings()
	for _, name := range []string{
		"max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_wal_senders",
		"max_worker_processes", "wal_level",
	} {
		if value, ok := theirs[name]; ok {
			set[name] = value
		}
	}
	sslmode := "disable"
	if up.opt.TLS {
		sslmode = "require"
	}
	set["primary_conninfo"] = fmt.Sprintf("host=%s port=%d user=%s application_name=%s sslmode=%s",
		host, cmp.Or(s.opt.Link, up.port), Superuser, s.name, sslmode)
	set["primary_slot_name"] = s.name
	set["hot_standby_feedback"] = "on"
	set["wal_retrieve_retry_interval"] = "100ms" // 5 s by default, which a test would wait for after a restart
}

// CertFile is the server's certificate under Options.TLS; it vouches for itself, so it is also what a client trusts.
func (s *Server) CertFile() string { return s.file("server.crt") }

// Certify makes the server's certificate anew, with an end of its validity. A running server takes it with a reload.
func (s *Server) Certify(until time.Time) error {
	if err := s.makeCert(until); err != nil {
		return fmt.Errorf("pgtest: make certificate: %w", err)
	}
	return nil
}

func (s *Server) makeCert(until time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.ParseIP(host)},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certDER, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := writeFile(s.file("server.key"), string(keyPEM)); err != nil {
		return err
	}
	return writeFile(s.CertFile(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})))
}
