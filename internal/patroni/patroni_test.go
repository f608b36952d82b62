package patroni

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is an answer of Patroni 3.0.2.
func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// api answers with these documents, by path.
func api(documents map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := documents[r.URL.Path]
		if !ok || r.Method != http.MethodGet {
			http.Error(w, "nothing of the kind", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(text)) // a client that is gone needs no answer
	})
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func look(t *testing.T, c Config) (Cluster, error) {
	t.Helper()
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return Look(t.Context(), client, c.URL)
}

// TestLook reads what releases write: the samples are of 3.0.2, and the others as the
// documentation and release notes of each have them.
func TestLook(t *testing.T) {
	leader := Member{Name: "pg1", Leader: true, Runs: true, Lag: -1}
	replica := func(name string) Member { return Member{Name: name, Runs: true} }
	synchronous := Member{Name: "pg3", Runs: true, Synchronous: true}
	after := Member{Name: "pg2", Leader: true, Runs: true, Lag: -1}
	for _, tt := range []struct {
		name, own, cluster string
		want               Cluster
		candidates         string
	}{
		{"3.0, primary", sample(t, "patroni"), sample(t, "cluster"), Cluster{Role: Primary, Members: []Member{leader, replica("pg2"), replica("pg3")}}, "pg2 pg3"},
		{"3.0, replica", sample(t, "patroni-replica"), sample(t, "cluster-paused"), Cluster{
			Role: Standby, Paused: true, Members: []Member{replica("pg1"), after, replica("pg3")},
		}, "pg1 pg3"},
		{"3.0, synchronous", sample(t, "patroni"), sample(t, "cluster-sync"), Cluster{Role: Primary, Members: []Member{replica("pg1"), after, synchronous}}, "pg3"},
		{"3.0, no leader", sample(t, "patroni-replica"), sample(t, "cluster-no-leader"), Cluster{Role: Standby, Members: []Member{replica("pg1"), replica("pg3")}}, "pg1 pg3"},
		{
			"2.1, a replica that is down, one that is not to lead", `{"state": "running", "role": "master", "server_version": 130011, "patroni": {"version": "2.1.7", "scope": "a"}}`,
			`{"members": [
				{"name": "pg1", "role": "leader", "state": "running", "api_url": "http://10.0.0.1:8008/patroni", "host": "10.0.0.1", "port": 5432, "timeline": 1},
				{"name": "pg2", "role": "replica", "state": "stopped", "host": "10.0.0.2", "port": 5432, "lag": "unknown"},
				{"name": "pg3", "role": "replica", "state": "running", "host": "10.0.0.3", "port": 5432, "timeline": 1, "tags": {"nofailover": true, "clonefrom": true}, "lag": 4096}]}`,
			Cluster{Role: Primary, Members: []Member{leader, {Name: "pg2", Lag: -1}, {Name: "pg3", Runs: true, NoFailover: true, Lag: 4096}}}, "",
		},
		{
			"3.1, states of replicas", `{"state": "running", "role": "master"}`,
			`{"members": [
				{"name": "pg1", "role": "leader", "state": "running"},
				{"name": "pg2", "role": "replica", "state": "streaming", "lag": 0, "tags": {"failover_priority": 1}},
				{"name": "pg3", "role": "replica", "state": "in archive recovery", "lag": "unknown", "tags": {"failover_priority": 0}}], "scope": "a"}`,
			Cluster{Role: Primary, Members: []Member{leader, replica("pg2"), {Name: "pg3", Runs: true, NoFailover: true, Lag: -1}}}, "pg2",
		},
		{
			"4.0, a quorum", `{"state": "running", "role": "primary", "sync_standby": true}`,
			`{"members": [
				{"name": "pg1", "role": "leader", "state": "running"},
				{"name": "pg2", "role": "replica", "state": "streaming", "lag": 0},
				{"name": "pg3", "role": "quorum_standby", "state": "streaming", "lag": 0, "tags": {"nofailover": false, "failover_priority": 0}}]}`,
			Cluster{Role: Primary, Members: []Member{leader, replica("pg2"), synchronous}}, "pg3",
		},
		{
			"4.1, more lags", `{"state": "streaming", "role": "standby_leader"}`,
			`{"members": [
				{"name": "pg1", "role": "standby_leader", "state": "streaming", "lsn": "0/4000060"},
				{"name": "pg2", "role": "replica", "state": "streaming", "receive_lag": 0, "receive_lsn": "0/4000060", "replay_lag": 8, "replay_lsn": "0/4000058", "lag": 8}], "pause": false}`,
			Cluster{Role: Standby, Members: []Member{leader, {Name: "pg2", Runs: true, Lag: 8}}}, "pg2",
		},
		{"a synchronous standby that is down", `{"role": "master"}`, `{"members": [{"name": "pg1", "role": "leader", "state": "running"},
			{"name": "pg2", "role": "replica", "state": "running", "lag": 0}, {"name": "pg3", "role": "sync_standby", "state": "starting", "lag": 0}]}`,
			Cluster{Role: Primary, Members: []Member{leader, replica("pg2"), {Name: "pg3", Synchronous: true}}}, ""},
		{"a role in passing", `{"role": "demoted"}`, `{"members": []}`, Cluster{}, ""},
	} {
		got, err := look(t, Config{URL: serve(t, api(map[string]string{"/patroni": tt.own, "/cluster": tt.cluster}))})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		var names []string
		for _, m := range got.Candidates() {
			names = append(names, m.Name)
		}
		if strings.Join(names, " ") != tt.candidates {
			t.Errorf("%s: %q could be promoted, want %q", tt.name, names, tt.candidates)
		}
	}
}

// TestLookErrors is about answers that are not Patroni's, and none.
func TestLookErrors(t *testing.T) {
	const own, members = `{"role": "master"}`, `{"members": []}`
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tt := range map[string]struct {
		url, want string
	}{
		"nobody there":   {gone.URL, "ask for /patroni: dial tcp "},
		"something else": {serve(t, api(nil)), "ask for /patroni: the answer has status 404"},
		"HTML":           {serve(t, api(map[string]string{"/patroni": "<html>"})), "read the answer to /patroni: it is not as Patroni writes it: "},
		"no role":        {serve(t, api(map[string]string{"/patroni": `{"status": "ok"}`})), "the answer to /patroni has no role: is that Patroni's REST API?"},
		"no members":     {serve(t, api(map[string]string{"/patroni": own, "/cluster": "{}"})), "the answer to /cluster has no members: "},
		"too long":       {serve(t, api(map[string]string{"/patroni": own, "/cluster": members + strings.Repeat(" ", maxAnswer)})), "the answer to /cluster is longer than 1048576 bytes"},
		"elsewhere":      {serve(t, http.RedirectHandler("/patroni/", http.StatusFound)), "ask for /patroni: the answer has status 302"},
	} {
		_, err := look(t, Config{URL: tt.url})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTrust trusts the certificates of the file, and without it the machine's only.
func TestTrust(t *testing.T) {
	s := httptest.NewUnstartedServer(api(map[string]string{"/patroni": `{"role": "master"}`, "/cluster": `{"members": []}`}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t, Config{URL: s.URL, CAFile: file}); err != nil {
		t.Error(err)
	}
	if _, err := look(t, Config{URL: s.URL}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of a stranger is trusted: %v", err)
	}
	none := filepath.Join("testdata", "cluster.json")
	for path, want := range map[string]string{none: none + " has none in PEM", "testdata/no.crt": "no such file"} {
		if _, err := NewClient(Config{CAFile: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestWatcher asks in the background, once an interval, and never makes anybody wait.
func TestWatcher(t *testing.T) {
	asked, goOn := make(chan struct{}, 10), make(chan struct{}, 10)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/patroni" {
			asked <- struct{}{}
			select {
			case <-goOn:
			case <-r.Context().Done():
			}
		}
		api(map[string]string{"/patroni": `{"role": "master"}`, "/cluster": `{"members": [{"name": "pg1"}]}`}).ServeHTTP(w, r)
	}))
	const long = time.Hour
	w := New(t.Context(), Config{URL: url})
	defer w.Close()
	if a := w.Last(long); !a.At.IsZero() {
		t.Errorf("before it was asked it has said %+v", a)
	}
	<-asked
	if a := w.Last(0); !a.At.IsZero() {
		t.Errorf("before it has answered it has said %+v", a)
	}
	goOn <- struct{}{}
	w.asking.Wait()
	a := w.Last(long)
	if a.At.IsZero() || a.Err != nil || a.Cluster.Role != Primary || len(a.Cluster.Members) != 1 {
		t.Errorf("it has said %+v", a)
	}
	if len(asked) > 0 {
		t.Error("it was asked twice within an interval, or while it was asked already")
	}
	if a := w.Last(1); !a.At.IsZero() {
		t.Errorf("an answer that is too old is used: %+v", a)
	}
	<-asked // as the interval was over
	w.Close()
	if a := w.last; a.Err != nil || a.Cluster.Role != Primary {
		t.Errorf("that it was to end is taken for an answer: %+v", a)
	}
	w.Last(0)
	w.asking.Wait()
	if len(asked) > 0 {
		t.Error("it was asked after the end")
	}
}

// TestAsk tells a member that does not answer from a caller who is gone.
func TestAsk(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	w := New(t.Context(), Config{URL: gone.URL})
	defer w.Close()
	ended, end := context.WithCancel(t.Context())
	end()
	if a := w.Ask(ended); !a.At.IsZero() {
		t.Errorf("a caller who is gone is told %+v", a)
	}
	if a := w.Ask(t.Context()); a.At.IsZero() || a.Err == nil || w.Last(time.Hour).Err == nil {
		t.Errorf("nobody is there, and it says %+v", a)
	}
}
