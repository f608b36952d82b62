package tests

import (
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"
)

// group is a rule group and the file that has it.
type group struct {
	rulefmt.RuleGroup
	file string
}

// groups reads the plain flavour of rendered rules, as strictly as Prometheus does.
func groups(t *testing.T, files map[string]string) (all []group) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Dir(name) != "alerts/prometheus" {
			continue
		}
		parsed, errs := rulefmt.Parse([]byte(files[name]), false, model.LegacyValidation, promql, slog.New(slog.DiscardHandler))
		for _, err := range errs {
			t.Errorf("%s: %v", name, err)
		}
		if parsed == nil {
			continue
		}
		for _, g := range parsed.Groups {
			all = append(all, group{g, name})
		}
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// label names a rule in messages.
func label(r rulefmt.Rule) string {
	if r.Record != "" {
		return r.Record
	}
	return r.Alert + " (" + r.Labels["severity"] + ")"
}

func TestGroups(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups(t, render(t, "{}")) {
		if seen[g.Name] {
			t.Errorf("two groups are called %s", g.Name)
		}
		seen[g.Name] = true
		if len(g.Name) > 40 {
			t.Errorf("%s: the name has %d characters, more than 40", g.Name, len(g.Name))
		}
		if len(g.Rules) == 0 || len(g.Rules) > 20 {
			t.Errorf("%s has %d rules; there may be 1 to 20", g.Name, len(g.Rules))
		}
		if g.Limit != 0 || g.Labels != nil {
			t.Errorf("%s has a limit, past which all its alerts would be dropped, or labels, which old servers refuse", g.Name)
		}
		names := map[string]bool{}
		for _, r := range g.Rules {
			if names[label(r)] {
				t.Errorf("%s is twice in %s", label(r), g.Name)
			}
			names[label(r)] = true
		}
	}
}

// limit is what the Prometheus operator takes of an object.
const limit = 512 << 10

// TestFlavours holds that the rules for Prometheus, for Thanos and for the operator
// are the same but for the fields that only the latter two know.
func TestFlavours(t *testing.T) {
	files := render(t, "{ _config+:: { thanos+: { queryOffset: '1m' } } }")
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		// Prometheus, promtool and Thanos read the first document and say nothing of another.
		var doc, other any
		decoder := yaml.NewDecoder(strings.NewReader(text))
		if err := decoder.Decode(&doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if decoder.Decode(&other) == nil {
			t.Errorf("%s has a second document, which nobody would read", name)
		}
		if path.Dir(name) == "alerts/operator" && len(text) >= limit {
			t.Errorf("%s has %d bytes, and the operator takes less than %d", name, len(text), limit)
		}
	}
	for name := range files {
		base, plain := strings.CutPrefix(name, "alerts/prometheus/")
		if !plain {
			continue
		}
		want := document(t, files, name)["groups"]
		thanos := common(t, document(t, files, "alerts/thanos/"+base)["groups"])
		if diff := cmp.Diff(want, thanos); diff != "" {
			t.Errorf("%s for Thanos differs:\n%s", base, diff)
		}
		object := document(t, files, "alerts/operator/"+base)
		if object["kind"] != "PrometheusRule" || object["apiVersion"] != "monitoring.coreos.com/v1" {
			t.Errorf("%s for the operator is no PrometheusRule", base)
		}
		if diff := cmp.Diff(want, common(t, object["spec"].(map[string]any)["groups"])); diff != "" {
			t.Errorf("%s for the operator differs:\n%s", base, diff)
		}
	}
}

func document(t *testing.T, files map[string]string, name string) (doc map[string]any) {
	t.Helper()
	if files[name] == "" {
		t.Fatalf("there is no %s", name)
	}
	if err := yaml.Unmarshal([]byte(files[name]), &doc); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return doc
}

// common removes from groups what only Thanos and the operator have, and holds that
// it is there.
func common(t *testing.T, list any) any {
	t.Helper()
	for _, g := range list.([]any) {
		fields := g.(map[string]any)
		if fields["partial_response_strategy"] != "abort" || fields["query_offset"] != "1m" {
			t.Errorf("group %v lacks partial_response_strategy or query_offset", fields["name"])
		}
		delete(fields, "partial_response_strategy")
		delete(fields, "query_offset")
	}
	return list
}
