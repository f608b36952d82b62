package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
)

// alertName is CamelCase that begins with the product which the alert is about.
var alertName = regexp.MustCompile(`^(Postgres|PgBouncer|Patroni)([A-Z][a-z0-9]+)+$`)

// labelUsed is a label in a template.
var labelUsed = regexp.MustCompile(`\$labels\.(\w+)`)

// labelOptional is a label that a template does without where the alert has it not.
var labelOptional = regexp.MustCompile(`{{ (?:with|if) \$labels\.\w+ }}`)

// shortest is how many evaluations an alert waits that does not fire at once.
const shortest = 2

// TestStyle holds alerts to the style guide of mixins.
func TestStyle(t *testing.T) {
	all := groups(t, render(t, "{}"))
	known := readCatalog(t).withRecorded(t, all)
	scope := declarations(t)
	said := map[string]string{}
	for _, g := range all {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			where := label(r)
			checkAlert(t, g, r)
			q, ok := parse(t, where, r.Expr)
			if !ok {
				continue
			}
			for name, text := range r.Annotations {
				for _, m := range labelUsed.FindAllStringSubmatch(labelOptional.ReplaceAllString(text, ""), -1) {
					have := append(slices.Clone(known.options(q.expr)), "severity")
					if missing := lacking(m[1:], have); missing != "" {
						t.Errorf("%s: %s names a label that the alert has not: %s", where, name, missing)
					}
				}
			}
			description := r.Annotations["description"]
			single := scope[r.Alert].Scope == "instance" || scope[r.Alert].Scope == "pooler"
			named := strings.Contains(description, "$labels.instance") || strings.Contains(description, "$labels.stanza")
			if single && !named && !slices.Contains(constant, r.Alert) {
				t.Errorf("%s: the description names neither the instance nor the stanza: %s", where, description)
			}
			if other := said[r.Annotations["summary"]]; other != "" && other != r.Alert {
				t.Errorf("%s has the summary of %s", where, other)
			}
			said[r.Annotations["summary"]] = r.Alert
		}
	}
}

func checkAlert(t *testing.T, g group, r rulefmt.Rule) {
	t.Helper()
	where := label(r)
	if !alertName.MatchString(r.Alert) || len(r.Alert) > 40 {
		t.Errorf("%s: a name is CamelCase of at most 40 characters that begins with the product", where)
	}
	if len(r.Labels) != 1 || !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
		t.Errorf("%s: its labels are %v, and only a severity is wanted: critical, warning or info", where, r.Labels)
	}
	for _, name := range []string{"summary", "description", "runbook_url", "dashboard_url"} {
		if r.Annotations[name] == "" {
			t.Errorf("%s has no %s", where, name)
		}
	}
	summary := r.Annotations["summary"]
	first := []rune(summary + " ")[0]
	if strings.Contains(summary, "{{") || !unicode.IsUpper(first) || !strings.HasSuffix(summary, ".") {
		t.Errorf("%s: a summary is a sentence with a capital letter, a full stop and no template: %s", where, summary)
	}
	if !strings.HasSuffix(r.Annotations["description"], ".") {
		t.Errorf("%s: the description does not end in a full stop: %s", where, r.Annotations["description"])
	}
	if wait := time.Duration(r.For); wait != 0 && wait < shortest*time.Duration(g.Interval) {
		t.Errorf("%s: for %v is less than %d evaluations", where, model.Duration(wait), shortest)
	}
}

// headings are those of a runbook, after its title.
var headings = []string{"## What it means", "## Confirm", "## Do", "## Do not", "## Silence"}

// TestRunbooks holds that each alert has a page, each page an alert, and that all
// are of one form.
func TestRunbooks(t *testing.T) {
	names := map[string]bool{}
	for _, g := range groups(t, render(t, "{}")) {
		for _, r := range g.Rules {
			if r.Alert != "" {
				names[r.Alert] = true
				if !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+r.Alert+".md") {
					t.Errorf("%s: its runbook is elsewhere: %s", label(r), r.Annotations["runbook_url"])
				}
			}
		}
	}
	dir := filepath.Join(top, "docs/runbooks")
	for name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name+".md"))
		if err != nil {
			t.Errorf("%s has no runbook: %v", name, err)
			continue
		}
		if have, want := outline(string(text)), append([]string{"# " + name}, headings...); !slices.Equal(have, want) {
			t.Errorf("the runbook of %s has the headings %q, not %q", name, have, want)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); !names[name] && name != "README" {
			t.Errorf("%s is the runbook of no alert", page)
		}
	}
}

// outline are the headings of a page that stand in no code.
func outline(text string) (list []string) {
	code := false
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "```"):
			code = !code
		case !code && strings.HasPrefix(line, "#"):
			list = append(list, line)
		}
	}
	return list
}
