package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// shipped are the severities of each alert as it is shipped.
func shipped(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../../alerts/prometheus/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	alerts := map[string]map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rules struct {
			Groups []struct {
				Rules []struct {
					Alert  string
					Labels labels
				}
			}
		}
		if err := yaml.Unmarshal(text, &rules); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				if r.Alert == "" {
					continue
				}
				if alerts[r.Alert] == nil {
					alerts[r.Alert] = map[string]bool{}
				}
				alerts[r.Alert][r.Labels["severity"]] = true
			}
		}
	}
	return alerts
}

var drillName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// TestDeclared holds that drills expect what there is.
func TestDeclared(t *testing.T) {
	alerts := shipped(t)
	seen := map[string]bool{}
	for _, d := range drills() {
		if seen[d.name] || !drillName.MatchString(d.name) {
			t.Errorf("drill %q: the name is there twice, or not of the form of-words", d.name)
		}
		seen[d.name] = true
		if d.does == "" || d.do == nil {
			t.Errorf("drill %s does not say what it does, or does not do it", d.name)
		}
		for _, e := range d.expect {
			if !alerts[e.alert][e.severity] {
				t.Errorf("drill %s expects %v, which is not shipped", d.name, e)
			}
		}
		for _, name := range d.follows {
			if !alerts[name]["critical"] {
				t.Errorf("drill %s lets %s follow, which does not page", d.name, name)
			}
		}
	}
}

// TestEachAlert holds that each alert is expected by a drill, or said to have none.
func TestEachAlert(t *testing.T) {
	alerts := shipped(t)
	drilled := map[string]bool{}
	for _, d := range drills() {
		for _, e := range d.expect {
			drilled[e.alert] = true
		}
	}
	for _, u := range undrilled() {
		switch {
		case alerts[u.alert] == nil:
			t.Errorf("%s is said to have no drill, and is no alert", u.alert)
		case drilled[u.alert]:
			t.Errorf("%s is said to have no drill, and one expects it", u.alert)
		case u.why == "":
			t.Errorf("it is not said why %s has no drill", u.alert)
		}
		drilled[u.alert] = true
	}
	for name := range alerts {
		if !drilled[name] && !slices.Contains(constant, name) {
			t.Errorf("no drill expects %s, and undrilled does not say why", name)
		}
	}
}

func TestScaled(t *testing.T) {
	example, err := os.ReadFile("../../docs/examples/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := scaled(example, "http://127.0.0.1:1/0")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Route struct {
			GroupWait string `yaml:"group_wait"`
			Routes    []any
		}
		InhibitRules []any `yaml:"inhibit_rules"`
		Receivers    []struct {
			Name           string
			WebhookConfigs []struct {
				URL          string
				SendResolved *bool `yaml:"send_resolved"`
			} `yaml:"webhook_configs"`
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if config.Route.GroupWait != "1000ms" || len(config.Route.Routes) == 0 || len(config.InhibitRules) == 0 {
		t.Errorf("the route is %+v, with %d inhibitions", config.Route, len(config.InhibitRules))
	}
	for _, r := range config.Receivers {
		if len(r.WebhookConfigs) != 1 || r.WebhookConfigs[0].URL != "http://127.0.0.1:1/0/"+r.Name {
			t.Errorf("receiver %s sends to %+v", r.Name, r.WebhookConfigs)
		}
	}
}
