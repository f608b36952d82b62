// Package readiness proves each check of pgvigil on real servers: seen to pass, and seen
// to be bad, by the program itself. harden.sh makes the server that passes.
package readiness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/readiness"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// majors are the oldest and the newest: what differs between majors is for the tests of
// collectors.
var majors = []int{13, 18}

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (_ int, err error) {
	dir, err := os.MkdirTemp("", "pgvigil-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if binary, err = exporter.Build(context.Background(), dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// scene is a state of servers in which they are judged.
type scene string

const (
	hardened  scene = "hardened"  // made by harden.sh
	follower  scene = "follower"  // its standby
	spoiled   scene = "spoiled"   // the hardened one, after what people do to servers
	orphan    scene = "orphan"    // its standby, when the primary is gone
	neglected scene = "neglected" // everything as it should not be
	blind     scene = "blind"     // the neglected one, seen by a role without a grant
	broken    scene = "broken"    // the neglected one, with what excludes that
)

// limits are what a scene is judged by where the defaults are out of reach: nobody waits
// for days, or writes a gigabyte.
var limits = map[scene]map[string]float64{
	hardened: {
		"cache_blocks": 100,     // 100 000 blocks take a while to read
		"checkpoints":  0,       // one by the clock comes after half a minute at the earliest
		"minor_days":   100_000, // the servers of the tests are as new as they are
	},
	spoiled: {"lag_mib": 1}, // rather than 256 MiB of WAL
	orphan:  {"lag_seconds": 0},
	neglected: {
		"bloat_mib":             0,
		"cache_blocks":          1000,
		"idle_sessions":         5,
		"large_table_mib":       1,
		"small_data_mib":        0,
		"stat_statements_ratio": 0.9,     // where it is full a twentieth is evicted at once
		"support_days":          100_000, // so that the newest major is near its end too
		"temp_mib_a_day":        1,
		"unused_index_days":     0,
		"unused_index_mib":      0,
		"xid_ratio":             0, // a billion transactions are out of reach
		"xid_ratio_fail":        0,
		"xmin_hours":            0,
	},
}

// proof says in which scenes a check is seen to pass, and to be warn or fail.
type proof struct {
	check     string
	good, bad scene
	// never says why it cannot be seen so, by good or bad, on a major or on all.
	never map[string]string
}

// proofs are in the order of readiness.Checks.
func proofs() []proof {
	usual := func(names ...string) (list []proof) {
		for _, name := range names {
			list = append(list, proof{check: name, good: hardened, bad: neglected})
		}
		return list
	}
	return slices.Concat(
		[]proof{{check: "tls_on", good: hardened, bad: broken}},
		usual("tls_required", "tls_protocol", "tls_certificate"),
		[]proof{{check: "tls_clients", good: hardened, bad: spoiled}},
		usual("listen_addresses", "hba_open", "hba_trust", "hba_clear_password", "hba_errors"),
		[]proof{{check: "networks", good: hardened, bad: spoiled}},
		usual("superuser_sessions", "owner_sessions", "superusers", "password_expiry", "password_kind", "password_encryption",
			"public_schema", "read_only_role", "connections_logged", "standbys", "standbys_streaming", "sync_standbys"),
		[]proof{
			{check: "standby_lag", good: hardened, bad: spoiled},
			{check: "lag", good: follower, bad: orphan},
			{check: "receiving", good: follower, bad: orphan},
		},
		usual("standby_elsewhere", "failover_manager"),
		[]proof{
			{check: "archiving_on", good: hardened, bad: broken},
			{check: "archiving_works", good: hardened, bad: neglected},
			{check: "backup_present", good: hardened, bad: broken},
		},
		usual("backup_fresh", "recovery_window", "restore_proven", "checksums"),
		[]proof{{check: "checksum_failures", good: hardened, bad: spoiled}},
		usual("slots_bounded", "slots_used", "wal_safe"),
		[]proof{{check: "stat_statements", good: hardened, bad: broken}},
		usual("stat_statements_size", "track_io_timing", "plans", "pooling", "connection_headroom", "shared_buffers", "work_mem",
			"missing_indexes", "unused_indexes", "duplicate_indexes", "foreign_key_indexes", "cache_hit", "temp_files", "checkpoints",
			"autovacuum", "autovacuum_tables", "autovacuum_keeps_up", "transaction_ids", "xmin_horizon", "bloat", "invalid_indexes",
			"sequences", "primary_keys", "slow_statements_logged", "lock_waits_logged", "autovacuum_logged", "statement_timeout",
			"idle_timeout", "extensions"),
		[]proof{
			{check: "major", good: hardened, bad: neglected, never: map[string]string{"good 13": "its fixes ended in November 2025"}},
			{check: "minor", good: hardened, bad: neglected, never: map[string]string{
				"bad": "the servers of the tests are the newest that pgvigil knows; internal/readiness has a test of its own",
			}},
			{check: "pending_restart", good: hardened, bad: neglected},
			{check: "exporter_rights", good: hardened, bad: blind},
			{check: "exporter_works", good: hardened, bad: broken},
		},
	)
}

// TestProofs holds that no check is without proof.
func TestProofs(t *testing.T) {
	var want, got []string
	for _, c := range readiness.Checks() {
		want = append(want, c.Name)
	}
	for _, p := range proofs() {
		got = append(got, p.check)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("checks are %q,\nproofs are of %q", want, got)
	}
}

// verdicts are the results of a report, by check.
type verdicts map[string]readiness.Result

// is says whether a check is as it should be in a scene.
func (v verdicts) is(check string, good bool) bool {
	verdict := v[check].Verdict
	return good && verdict == readiness.Pass || !good && (verdict == readiness.Warn || verdict == readiness.Fail)
}

// judge runs the program on a target of a file.
func judge(t *testing.T, file, target string) verdicts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "check", "--config.file="+file, "--target="+target, "--format=json", "--fail-on=never")
	var said strings.Builder
	cmd.Stderr = &said
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pgvigil check: %v\n%s", err, said.String())
	}
	var report readiness.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	v := verdicts{}
	for _, r := range report.Results {
		v[r.Name] = r
	}
	return v
}

// prove judges a scene until all that is to be seen there is, which the server's
// statistics may take a moment for. What is not, even then, is an error.
func prove(t *testing.T, major int, s scene, file, target string) verdicts {
	t.Helper()
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		v := judge(t, file, target)
		var wrong []string
		for _, p := range proofs() {
			for word, at := range map[string]scene{"good": p.good, "bad": p.bad} {
				if at == s && !v.is(p.check, word == "good") && p.never[word] == "" && p.never[fmt.Sprintf("%s %d", word, major)] == "" {
					wrong = append(wrong, fmt.Sprintf("%s should be %s, and is %s: %s", p.check, word, v[p.check].Verdict, v[p.check].Says))
				}
			}
		}
		if len(wrong) == 0 {
			return v
		}
		if time.Since(began) > 15*time.Second {
			slices.Sort(wrong)
			t.Errorf("%s:\n%s", s, strings.Join(wrong, "\n"))
			return v
		}
	}
}

// write writes a configuration file of a scene.
func write(t *testing.T, s scene, text string) (path string) {
	t.Helper()
	var list []string
	for name, v := range limits[s] {
		list = append(list, fmt.Sprintf("%s: %g", name, v))
	}
	slices.Sort(list)
	path = filepath.Join(t.TempDir(), "pgvigil.yml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%s  limits: {%s}\n", text, strings.Join(list, ", ")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestChecks proves each check on each of the majors.
func TestChecks(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			t.Run("hardened", func(t *testing.T) { testHardened(t, major) })
			t.Run("neglected", func(t *testing.T) { testNeglected(t, major) })
		})
	}
}

// testHardened judges what harden.sh makes, and then what becomes of it.
func testHardened(t *testing.T, major int) {
	h := harden(t, major)
	file := write(t, hardened, h.config)
	seen := prove(t, major, hardened, file, "primary")
	for name, r := range seen {
		if r.Verdict != readiness.Pass && !(name == "major" && major == 13) {
			t.Errorf("hardened: %s is %s: %s", name, r.Verdict, r.Says)
		}
	}
	// By a role without a grant nothing may look worse than it is, but for its own rights.
	for name, r := range judge(t, write(t, hardened, h.as("app")), "primary") {
		if seen[name].Verdict == readiness.Pass && r.Verdict != readiness.Pass && r.Verdict != readiness.Unknown && name != "exporter_rights" {
			t.Errorf("a role without a grant guesses: %s is %s: %s", name, r.Verdict, r.Says)
		}
	}
	for name, r := range prove(t, major, follower, file, "standby") {
		if strings.HasSuffix(r.Says, "skipped here: role") {
			t.Errorf("%s makes no sense on a standby: %s", name, r.Says)
		}
	}
	h.spoil(t)
	prove(t, major, spoiled, write(t, spoiled, strings.Replace(h.config, "networks: [", "networks: [203.0.113.0/24] # ", 1)), "primary")
	h.orphan(t)
	prove(t, major, orphan, write(t, orphan, h.config), "standby")
}

// testNeglected judges a server as nobody should have it.
func testNeglected(t *testing.T, major int) {
	n := neglect(t, major)
	seen := prove(t, major, neglected, write(t, neglected, n.config(t, "pgvigil", true)), "server")
	unseen := prove(t, major, blind, write(t, neglected, n.config(t, "pgvigil_nothing", true)), "server")
	for name, r := range unseen {
		if seen.is(name, false) && r.Verdict == readiness.Pass {
			t.Errorf("a role without a grant guesses: %s is %s: %s; and is %s: %s", name, r.Verdict, r.Says, seen[name].Verdict, seen[name].Says)
		}
	}
	for _, name := range hiddenFromNobody {
		if r := unseen[name]; r.Verdict != readiness.Unknown || !strings.Contains(r.Says, "GRANT ") {
			t.Errorf("to a role without a grant %s is %s, and no grant is named: %s", name, r.Verdict, r.Says)
		}
	}
	n.breakMore(t)
	prove(t, major, broken, write(t, neglected, n.config(t, "pgvigil", false)), "server")
}

// hiddenFromNobody are checks whose facts PostgreSQL hides from a role without a grant.
var hiddenFromNobody = []string{
	"tls_required", "tls_clients", "listen_addresses", "hba_open", "hba_trust", "hba_clear_password", "hba_errors", "networks",
	"superuser_sessions", "owner_sessions", "password_kind", "public_schema", "read_only_role", "connections_logged",
	"standbys", "standbys_streaming", "sync_standbys", "standby_lag", "standby_elsewhere", "failover_manager",
	"pooling", "unused_indexes", "duplicate_indexes", "autovacuum", "autovacuum_keeps_up", "xmin_horizon", "invalid_indexes",
	"sequences", "statement_timeout",
}
