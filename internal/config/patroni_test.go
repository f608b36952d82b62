package config

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPatroniCA reads where certificates are that are trusted, which are for https only.
func TestPatroniCA(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(key string) (File, error) {
		text := "targets:\n- name: a\n  host: h\n  " + key + "\n  patroni_ca: ca.crt\n"
		return parse(filepath.Join(dir, "pgvigil.yml"), []byte(text), nil)
	}
	file, err := load("patroni: https://[fd00::1]:8008")
	if err != nil || file.Targets[0].Patroni.URL != "https://[fd00::1]:8008" || file.Targets[0].Patroni.CAFile != ca {
		t.Errorf("%v: %v", file.Targets, err)
	}
	for _, key := range []string{"patroni: http://10.0.0.1:8008", "user: a"} {
		if _, err := load(key); err == nil || !strings.HasSuffix(err.Error(), "pgvigil.yml:5: patroni_ca is for https: write patroni: https://…, or remove it") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
