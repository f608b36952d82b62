package tests

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// unitFile is a file of unit tests, as promtool reads it.
type unitFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval string         `yaml:"evaluation_interval,omitempty"`
	GroupEvalOrder     []string       `yaml:"group_eval_order,omitempty"`
	Rest               map[string]any `yaml:",inline"`
	Tests              []yaml.Node    `yaml:"tests"`
}

// unit is one test of such a file, as far as it is read here.
type unit struct {
	Name          string
	AlertRuleTest []struct {
		Alertname string
		ExpAlerts []struct {
			ExpLabels map[string]string `yaml:"exp_labels"`
		} `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
	PromqlExprTest []struct{ Expr string } `yaml:"promql_expr_test"`
}

func readUnits(t *testing.T, file string) (f unitFile, units []unit) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &f); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	units = make([]unit, len(f.Tests))
	for i, node := range f.Tests {
		if err := node.Decode(&units[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return f, units
}

// asks are the names of the alerts and series that a unit test asks for.
func (u unit) asks(t *testing.T) (names []string) {
	t.Helper()
	for _, check := range u.AlertRuleTest {
		names = append(names, check.Alertname)
	}
	for _, check := range u.PromqlExprTest {
		if q, ok := parse(t, u.Name, check.Expr); ok {
			names = append(names, selected(q.expr)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// selected are the metrics that an expression reads.
func selected(e parser.Expr) (names []string) {
	each(e, func(s *parser.VectorSelector, _ []parser.Node) { names = append(names, nameOf(s)) })
	return names
}

// loads are the groups of a file of unit tests, less the rules that tests which ask for
// these names do not need. Rules that they read come with them.
func (f unitFile) loads(t *testing.T, all []group, names []string) (loaded []rulefmt.RuleGroup) {
	t.Helper()
	needed := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if needed[name] {
			continue
		}
		needed[name] = true
		for _, g := range all {
			for _, r := range g.Rules {
				if r.Alert != name && r.Record != name {
					continue
				}
				if q, ok := parse(t, label(r), r.Expr); ok {
					names = append(names, selected(q.expr)...)
				}
			}
		}
	}
	for _, g := range all {
		if !slices.ContainsFunc(f.RuleFiles, func(pattern string) bool {
			ok, err := path.Match(pattern, path.Join(top, g.file))
			return ok && err == nil
		}) {
			continue
		}
		g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r rulefmt.Rule) bool { return !needed[r.Alert] && !needed[r.Record] })
		if len(g.Rules) > 0 {
			loaded = append(loaded, g.RuleGroup)
		}
	}
	return loaded
}

// split writes a file of unit tests as several below dir, one for the tests that ask
// for the same names, with the rules that these need. promtool evaluates all rules it
// loads at each step of each test: whole, the files take twenty times as long.
func (f unitFile) split(t *testing.T, dir string, units []unit, all []group) (files []string) {
	t.Helper()
	parts := map[string][]yaml.Node{}
	for i, u := range units {
		key := strings.Join(u.asks(t), " ")
		parts[key] = append(parts[key], f.Tests[i])
	}
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		part := f
		part.Tests = parts[key]
		groups := f.loads(t, all, strings.Fields(key))
		rules := fmt.Sprintf("rules%d.yaml", len(files))
		part.RuleFiles = []string{rules}
		part.GroupEvalOrder = slices.DeleteFunc(slices.Clone(f.GroupEvalOrder), func(name string) bool {
			return !slices.ContainsFunc(groups, func(g rulefmt.RuleGroup) bool { return g.Name == name })
		})
		tests := fmt.Sprintf("tests%d.yaml", len(files))
		write(t, dir, map[string]string{
			rules: text(t, rulefmt.RuleGroups{Groups: groups}),
			tests: text(t, part),
		})
		files = append(files, filepath.Join(dir, tests))
	}
	return files
}

func text(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// caseName is how a unit test is called.
var caseName = regexp.MustCompile(`^(\w+) (fires|silent): \S`)

// TestUnits runs the unit tests of the rules, and holds that each level of each alert
// has been seen to fire, and each alert to stay silent on what only looks like its
// fault.
func TestUnits(t *testing.T) {
	promtool := tool(t, "promtool")
	files, err := filepath.Glob("*_test.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no unit tests: %v", err)
	}
	all := groups(t, render(t, "{}"))
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f, units := readUnits(t, file)
			run(t, promtool, append([]string{"test", "rules"}, f.split(t, t.TempDir(), units, all)...)...)
		})
	}
	fires, silent, cases := seen(t, files)
	alerts := map[string]bool{}
	levels := 0
	for _, g := range all {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			alerts[r.Alert] = true
			levels++
			if !fires[label(r)] {
				t.Errorf("%s: no unit test makes it fire", label(r))
			}
		}
	}
	for name := range alerts {
		if !silent[name] && !slices.Contains(constant, name) {
			t.Errorf("%s: no unit test keeps it silent", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(silent)) {
		if !alerts[name] {
			t.Errorf("there are unit tests of %s, which is no alert", name)
		}
	}
	fmt.Printf("summary: %d alerts with %d levels: %d levels seen firing, %d alerts kept silent, in %d cases\n",
		len(alerts), levels, len(fires), len(silent), cases)
}

// seen reads which levels the tests expect to fire, and which alerts to be silent. A
// test named for silence may not expect its alert to fire at all.
func seen(t *testing.T, files []string) (fires, silent map[string]bool, cases int) {
	t.Helper()
	fires, silent = map[string]bool{}, map[string]bool{}
	for _, file := range files {
		_, units := readUnits(t, file)
		for _, test := range units {
			cases++
			m := caseName.FindStringSubmatch(test.Name)
			if m == nil {
				if len(test.AlertRuleTest) > 0 {
					t.Errorf("%s: %q does not begin with ALERT fires: or ALERT silent:", file, test.Name)
				}
				continue
			}
			asked := false
			for _, check := range test.AlertRuleTest {
				asked = asked || check.Alertname == m[1]
				for _, alert := range check.ExpAlerts {
					if check.Alertname == m[1] && m[2] == "fires" {
						fires[m[1]+" ("+alert.ExpLabels["severity"]+")"] = true
					}
				}
			}
			if !asked {
				t.Errorf("%s: %q does not ask for the alert", file, test.Name)
			} else if m[2] == "silent" {
				silent[m[1]] = true
			}
		}
	}
	return fires, silent, cases
}
