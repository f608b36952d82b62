package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	uriFile := write("uri", "10.0.0.1:5433/app?sslmode=disable\n")
	userFile, passFile := write("user", "pgvigil\n"), write("pass", "a b%/@c\n")

	for name, tt := range map[string]struct {
		env           map[string]string
		conn          string
		user, address string
		password      string
	}{
		"name": {
			env:  map[string]string{"DATA_SOURCE_NAME": "postgresql://pgvigil:x@10.0.0.1:5433/postgres?sslmode=disable"},
			conn: "postgresql://pgvigil:x@10.0.0.1:5433/postgres?sslmode=disable", address: "10.0.0.1:5433",
		},
		"keywords": {
			env:  map[string]string{"DATA_SOURCE_NAME": "host=10.0.0.1 user=a,b password='c, host'"},
			conn: "host=10.0.0.1 user=a,b password='c, host'", address: "10.0.0.1:5432",
		},
		"two hosts of one server": {
			env:  map[string]string{"DATA_SOURCE_NAME": "postgresql://10.0.0.1,10.0.0.2/postgres?target_session_attrs=primary"},
			conn: "postgresql://10.0.0.1,10.0.0.2/postgres?target_session_attrs=primary", address: "10.0.0.1:5432",
		},
		"parts": {
			env:  map[string]string{"DATA_SOURCE_URI": "10.0.0.1:5433/postgres?sslmode=disable", "DATA_SOURCE_USER": "o'b@c", "DATA_SOURCE_PASS": "a b%/@c"},
			conn: "postgresql://10.0.0.1:5433/postgres?sslmode=disable&user=o%27b%40c", address: "10.0.0.1:5433", password: "a b%/@c",
		},
		"user into keywords": {
			env:  map[string]string{"DATA_SOURCE_NAME": "host=10.0.0.1", "DATA_SOURCE_USER": `o'b\c`},
			conn: `host=10.0.0.1 user='o\'b\\c'`, address: "10.0.0.1:5432",
		},
		"files": {
			env:  map[string]string{"DATA_SOURCE_URI_FILE": uriFile, "DATA_SOURCE_USER_FILE": userFile, "DATA_SOURCE_PASS_FILE": passFile},
			conn: "postgresql://10.0.0.1:5433/app?sslmode=disable", address: "10.0.0.1:5433", user: "pgvigil", password: "a b%/@c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			target, ok, err := Environment(func(v string) string { return tt.env[v] })
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			config := target.Conn.Config()
			if config.ConnString != tt.conn {
				t.Errorf("connection string: got %s, want %s", config.ConnString, tt.conn)
			}
			if got := target.Conn.Address(); got != tt.address {
				t.Errorf("address: got %s, want %s", got, tt.address)
			}
			for _, s := range []struct {
				get  func() (string, error)
				want string
			}{
				{func() (string, error) { return config.User(t.Context()) }, tt.user},
				{func() (string, error) { return config.Password(t.Context()) }, tt.password},
			} {
				if s.want == "" {
					continue
				}
				if got, err := s.get(); got != s.want || err != nil {
					t.Errorf("got %q, %v, want %q", got, err, s.want)
				}
			}
			if shown := fmt.Sprintf("%v %+v %#v", target, target, target.Conn.Password); tt.password != "" && strings.Contains(shown, tt.password) {
				t.Errorf("printing shows the password: %s", shown)
			}
		})
	}
}

// TestSourceIsReadAgain proves that a rotated connection string is seen at the
// next connect.
func TestSourceIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uri")
	for i, text := range []string{"u:one@h/d", "u:two@h/d", "u:three/@h/d"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := source(path, amendment{Bare: true})(t.Context())
		switch {
		case i < 2 && (err != nil || s != "postgresql://"+text):
			t.Errorf("got %q, %v", s, err)
		case i == 2 && (err == nil || strings.Contains(err.Error(), "three")):
			t.Errorf("got %q, %v", s, err)
		}
	}
}

func TestEnvironmentErrors(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"DATA_SOURCE_NAME": "host=a", "DATA_SOURCE_URI": "a"},
			"DATA_SOURCE_NAME and DATA_SOURCE_URI are both set: unset one, they name the same thing"},
		{map[string]string{"DATA_SOURCE_URI": "a", "DATA_SOURCE_PASS": secret, "DATA_SOURCE_PASS_FILE": "b"},
			"DATA_SOURCE_PASS and DATA_SOURCE_PASS_FILE are both set: unset one\nDATA_SOURCE_PASS_FILE: open b: no such file or directory: the user pgvigil runs as must be able to read it"},
		{map[string]string{"DATA_SOURCE_PASS": secret},
			"DATA_SOURCE_USER or DATA_SOURCE_PASS is set without a server: set DATA_SOURCE_URI to host:port/database, or DATA_SOURCE_NAME to a connection string"},
		{map[string]string{"DATA_SOURCE_NAME": "postgresql://u:" + secret + "@a/d,postgresql://u:" + secret + "@b/d"},
			"DATA_SOURCE_NAME: there are several connection strings: name each server as a target in the file of --config.file and ask /probe?target= for it"},
		{map[string]string{"DATA_SOURCE_NAME": "host=a password=" + secret + ", host=b"},
			"DATA_SOURCE_NAME: there are several connection strings: name each server as a target in the file of --config.file and ask /probe?target= for it"},
		{map[string]string{"DATA_SOURCE_NAME": "postgresql://u:" + secret + "@a:many/d"},
			"DATA_SOURCE_NAME: the connection string cannot be read: the port must be a number from 1 to 65535"},
	} {
		_, ok, err := Environment(func(v string) string { return tt.env[v] })
		if ok || err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
	if _, ok, err := Environment(func(string) string { return "" }); ok || err != nil {
		t.Errorf("nothing set: got %v, %v", ok, err)
	}
}
