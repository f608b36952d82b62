package tests

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// link leads to a board.
var link = regexp.MustCompile(`/d/([A-Za-z0-9_-]+)`)

// TestLinks holds that links among boards lead somewhere, and to variables that are
// there.
func TestLinks(t *testing.T) {
	files := render(t, "{}")
	known := map[string][]string{}
	for _, b := range boards(t, files) {
		for _, v := range b.Templating.List {
			known[b.UID] = append(known[b.UID], v.Name)
		}
	}
	for name, text := range files {
		if path.Dir(name) != "dashboards" {
			continue
		}
		for _, m := range address.FindAllString(text, -1) {
			checkLink(t, name, m, known)
		}
	}
	for _, g := range groups(t, files) {
		for _, r := range g.Rules {
			if r.Alert != "" {
				// Of an alert's labels a board may lack some, which Grafana passes over.
				url, _, _ := strings.Cut(r.Annotations["dashboard_url"], "?")
				checkLink(t, label(r), url, known)
			}
		}
	}
}

// address is a link with its query, as JSON has it.
var address = regexp.MustCompile(`/d/[^"]+`)

var given = regexp.MustCompile(`[?&]var-(\w+)=`)

// gap is what Grafana is to fill in a link, and filled what it fills there, as far as links
// need it: the time, a variable of the board as a parameter, a field of the row, a label
// of the series.
var (
	gap    = regexp.MustCompile(`\$\{([^}]*)\}`)
	filled = regexp.MustCompile(`^(__url_time_range|(\w+):queryparam|__data\.fields\.\w+|__field\.labels\.\w+)$`)
)

func checkLink(t *testing.T, where, url string, known map[string][]string) {
	t.Helper()
	m := link.FindStringSubmatch(url)
	if m == nil {
		t.Errorf("%s: %q leads to no board", where, url)
		return
	}
	names, ok := known[m[1]]
	if !ok {
		t.Errorf("%s: there is no board %s", where, m[1])
		return
	}
	own := known[strings.TrimSuffix(path.Base(where), ".json")]
	for _, g := range gap.FindAllStringSubmatch(url, -1) {
		if f := filled.FindStringSubmatch(g[1]); f == nil || f[2] != "" && !slices.Contains(own, f[2]) {
			t.Errorf("%s: nothing fills %s", where, g[0])
		}
	}
	for _, v := range given.FindAllStringSubmatch(url, -1) {
		if !slices.Contains(names, v[1]) {
			t.Errorf("%s: board %s has no variable %s", where, m[1], v[1])
		}
	}
}

// inRow is a field of a row that a link takes a value from.
var inRow = regexp.MustCompile(`\$\{__data\.fields\.([^}]*)\}`)

// checkColumns holds that what overrides of a table name is there after its
// transformations: columns by their titles, and by their fields in links.
func (p panel) checkColumns(t *testing.T) {
	t.Helper()
	if p.Type != "table" {
		return
	}
	var fields, titles []string
	for _, tr := range p.Transformations {
		fields = append(fields, tr.Options.Include.Names...)
		titles = slices.AppendSeq(titles, maps.Values(tr.Options.RenameByName))
	}
	for _, o := range p.FieldConfig.Overrides {
		if title, ok := o.Matcher.Options.(string); o.Matcher.ID == "byName" && (!ok || !slices.Contains(titles, title)) {
			t.Errorf("%q overrides %v, which is no column", p.Title, o.Matcher.Options)
		}
		for _, property := range o.Properties {
			for _, m := range inRow.FindAllSubmatch(property.Value, -1) {
				if !slices.Contains(fields, string(m[1])) {
					t.Errorf("%q has a link to %s, which is no field of its rows", p.Title, m[1])
				}
			}
		}
	}
}
