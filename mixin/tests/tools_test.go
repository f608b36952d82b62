package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tool returns a program of tools/, which a variable of its name in capital letters
// names. Without it the test is skipped, and in CI it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	program := os.Getenv(strings.ToUpper(name))
	if program == "" {
		program = name
	}
	if _, err := exec.LookPath(program); err != nil {
		absent(t, "no %s: %v", name, err)
	}
	return program
}

// absent ends a test for the lack of a tool.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format+"; make tools builds it", args...)
}

// run fails with what a program says where it fails.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// rulesIn are the files of a flavour below a directory.
func rulesIn(t *testing.T, dir, flavour string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "alerts", flavour, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules in %s: %v", dir, err)
	}
	return files
}

// checkByPromtool lints the plain rules below a directory.
func checkByPromtool(t *testing.T, promtool, dir string) {
	t.Helper()
	run(t, promtool, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, rulesIn(t, dir, "prometheus")...)...)
}

// TestPromtool and TestThanos let the tools of those who will load the rules read
// them.
func TestPromtool(t *testing.T) {
	checkByPromtool(t, tool(t, "promtool"), top)
}

func TestThanos(t *testing.T) {
	thanos := tool(t, "thanos")
	var args []string
	for _, file := range rulesIn(t, top, "thanos") {
		args = append(args, "--rules="+file)
	}
	run(t, thanos, append([]string{"tools", "rules-check"}, args...)...)
}

// TestAlertmanager lets amtool read the example of Alertmanager's configuration and
// route the cases beside it: a line each of labels, -> and the receivers.
func TestAlertmanager(t *testing.T) {
	amtool := tool(t, "amtool")
	config := filepath.Join(top, "docs/examples/alertmanager.yml")
	run(t, amtool, "check-config", config)
	text, err := os.ReadFile(filepath.Join(top, "docs/examples/routes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(text) {
		labels, receivers, ok := strings.Cut(strings.TrimSpace(string(line)), " -> ")
		if !ok || strings.HasPrefix(labels, "#") {
			continue
		}
		n++
		args := []string{"config", "routes", "test", "--config.file=" + config, "--verify.receivers=" + strings.TrimSpace(receivers)}
		run(t, amtool, append(args, strings.Fields(labels)...)...)
	}
	if n == 0 {
		t.Error("there are no routes to test")
	}
}

// TestVariations renders the mixin as users may change it. What comes out must load,
// and have what was asked for.
func TestVariations(t *testing.T) {
	promtool := tool(t, "promtool")
	named := func(files map[string]string, name, severity string) bool {
		return slices.ContainsFunc(groups(t, files), func(g group) bool {
			for _, r := range g.Rules {
				if r.Alert == name && (severity == "" || r.Labels["severity"] == severity) {
					return true
				}
			}
			return false
		})
	}
	for name, v := range map[string]struct {
		config string
		holds  func(files map[string]string, text string) bool
	}{
		"no cluster label": {"{ clusterLabel: '' }", func(_ map[string]string, text string) bool {
			return !regexp.MustCompile(`[ (,]cluster[ ,)=]|labels\.cluster`).MatchString(text)
		}},
		"no label of PostgreSQL clusters": {"{ pgClusterLabel: '' }", func(_ map[string]string, text string) bool {
			return !regexp.MustCompile(`[ (,]pg_cluster[ ,)=]|labels\.pg_cluster`).MatchString(text)
		}},
		"neither": {"{ clusterLabel: '', pgClusterLabel: '' }", nil},
		"other labels": {"{ clusterLabel: 'k8s', pgClusterLabel: 'service' }", func(_ map[string]string, text string) bool {
			return strings.Contains(text, "k8s, job, service, instance")
		}},
		"a tenant": {"{ extraLabels: ['tenant'] }", func(_ map[string]string, text string) bool {
			return strings.Contains(text, "instance, tenant)")
		}},
		"a drill": {"{ timeScale: 0.05 }", func(_ map[string]string, text string) bool {
			return strings.Contains(text, "[15s]") && !strings.Contains(text, "[5m]")
		}},
		"an alert left out": {"{ alerts+: { PostgresDown: null } }", func(files map[string]string, _ string) bool {
			return !named(files, "PostgresDown", "")
		}},
		"another severity": {
			"{ alerts+: { PostgresDown: { warning: { 'for': '5m' } } } }",
			func(files map[string]string, _ string) bool {
				return named(files, "PostgresDown", "warning") && !named(files, "PostgresDown", "critical")
			},
		},
		"no boards to link to": {"{ dashboardURL: '' }", func(_ map[string]string, text string) bool {
			return !strings.Contains(text, "dashboard_url")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			files := render(t, "{ _config+:: "+v.config+" }")
			dir := t.TempDir()
			write(t, dir, files)
			checkByPromtool(t, promtool, dir)
			for _, b := range boards(t, files) {
				b.queries(t)
			}
			var text strings.Builder // of expressions, and of what annotations ask of labels
			for _, g := range groups(t, files) {
				for _, r := range g.Rules {
					fmt.Fprintln(&text, r.Expr, r.Annotations["dashboard_url"], labelUsed.FindAllString(r.Annotations["description"], -1))
				}
			}
			if v.holds != nil && !v.holds(files, text.String()) {
				t.Errorf("with %s the rules are not what was asked for", v.config)
			}
		})
	}
}
