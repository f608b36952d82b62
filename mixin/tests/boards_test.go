package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// board is what tests read of a Grafana board.
type board struct {
	UID, Title, Description string
	Editable                bool
	Tags                    []string
	Panels                  []panel
	Templating              struct{ List []variable }
	Annotations             struct {
		List []struct {
			Name, Expr string
			Datasource source
		}
	}
}

type variable struct {
	Type, Name, Label string
	Query             any
	Refresh           int
	Datasource        source
}

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Collapsed                bool
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	Panels                   []panel
	Targets                  []struct {
		Expr, RefID, LegendFormat string
		Datasource                source
	}
	Transformations []struct {
		Options struct {
			Include      struct{ Names []string }
			RenameByName map[string]string
		}
	}
	FieldConfig struct {
		Defaults  struct{ Unit, NoValue string }
		Overrides []struct {
			Matcher struct {
				ID      string
				Options any
			}
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
}

// boards reads the rendered boards.
func boards(t *testing.T, files map[string]string) (all []board) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Dir(name) != "dashboards" {
			continue
		}
		var b board
		if err := json.Unmarshal([]byte(files[name]), &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if path.Base(name) != b.UID+".json" {
			t.Errorf("%s has uid %s", name, b.UID)
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		t.Fatal("there are no boards")
	}
	return all
}

// all are the panels of a board, those of collapsed rows too, without the rows.
func (b board) all() (list []panel) {
	for _, p := range b.Panels {
		if p.Type == "row" {
			list = append(list, p.Panels...)
		} else {
			list = append(list, p)
		}
	}
	return list
}

// queries are all that a board asks Prometheus.
func (b board) queries(t *testing.T) (list []query) {
	t.Helper()
	for _, p := range b.all() {
		list = append(list, p.queries(t, b.UID)...)
	}
	for _, a := range b.Annotations.List {
		if q, ok := parse(t, b.UID+", annotation "+a.Name, plain(a.Expr)); ok {
			list = append(list, q)
		}
	}
	for _, v := range b.Templating.List {
		if selector := labelValues(v); selector != "" {
			if q, ok := parse(t, b.UID+", variable "+v.Name, plain(selector)); ok {
				list = append(list, q)
			}
		}
	}
	return list
}

func (p panel) queries(t *testing.T, uid string) (list []query) {
	t.Helper()
	for _, target := range p.Targets {
		if q, ok := parse(t, fmt.Sprintf("%s, %q %s", uid, p.Title, target.RefID), plain(target.Expr)); ok {
			list = append(list, q)
		}
	}
	return list
}

// plain replaces Grafana's durations. Its other variables stand in strings, where
// they do no harm.
func plain(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "3h").Replace(expr)
}

// asked is a query of a variable: label_values(selector, label).
var asked = regexp.MustCompile(`^label_values\((.*), *\w+\)$`)

// labelValues is the selector that a variable asks for, "" where it asks nothing.
func labelValues(v variable) string {
	fields, ok := v.Query.(map[string]any)
	if !ok {
		return ""
	}
	text, _ := fields["query"].(string)
	if m := asked.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// validUID is what Grafana takes for one.
var validUID = regexp.MustCompile(`^[a-zA-Z0-9_-]{8,40}$`)

func TestBoards(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range boards(t, render(t, "{}")) {
		t.Run(b.UID, func(t *testing.T) {
			if uids[b.UID] {
				t.Error("the uid is taken")
			}
			uids[b.UID] = true
			if !validUID.MatchString(b.UID) {
				t.Error("Grafana takes no such uid")
			}
			if b.Title == "" || b.Description == "" {
				t.Error("there is no title or no description")
			}
			if b.Editable {
				t.Error("it can be edited, and what is edited is lost with the next release")
			}
			if len(b.all()) == 0 {
				t.Error("it has no panels")
			}
			b.checkVariables(t)
			asks := 0
			ids := map[int]bool{}
			for _, p := range b.all() {
				p.check(t)
				if ids[p.ID] {
					t.Errorf("%q: its id is taken", p.Title)
				}
				ids[p.ID] = true
				asks += len(p.Targets)
			}
			if asks > 40 {
				t.Errorf("its panels ask %d queries; more than 40 are slow to open", asks)
			}
			overlaps(t, b.Panels)
			for _, row := range b.Panels {
				if row.Collapsed {
					overlaps(t, row.Panels)
				}
			}
		})
	}
}

func (b board) checkVariables(t *testing.T) {
	t.Helper()
	sources := 0
	var names []string
	for _, v := range b.Templating.List {
		names = append(names, v.Name)
		switch v.Type {
		case "datasource":
			sources++
			if v.Query != "prometheus" || v.Name != "datasource" {
				t.Errorf("variable %s does not offer Prometheus as datasource", v.Name)
			}
		case "query":
			if v.Refresh != 2 {
				t.Errorf("variable %s does not follow the time range", v.Name)
			}
			if labelValues(v) == "" {
				t.Errorf("variable %s does not ask for values of a label: %v", v.Name, v.Query)
			}
			fits(t, "variable "+v.Name, v.Datasource)
		}
	}
	if sources != 1 {
		t.Errorf("it has %d variables for the datasource", sources)
	}
	for _, a := range b.Annotations.List {
		fits(t, "annotation "+a.Name, a.Datasource)
	}
	for _, p := range b.all() {
		for _, target := range p.Targets {
			for _, m := range used.FindAllStringSubmatch(target.Expr, -1) {
				if !strings.HasPrefix(m[1], "__") && !slices.Contains(names, m[1]) {
					t.Errorf("%q: there is no variable %s", p.Title, m[1])
				}
			}
		}
	}
}

// used is a variable in a query; $1 is a group of label_replace.
var used = regexp.MustCompile(`\$\{?([A-Za-z_]\w*)`)

func fits(t *testing.T, where string, s source) {
	t.Helper()
	if s != (source{"prometheus", "${datasource}"}) {
		t.Errorf("%s: its datasource is %v, not the variable", where, s)
	}
}

func (p panel) check(t *testing.T) {
	t.Helper()
	if p.Title == "" || p.Description == "" {
		t.Errorf("%q has no title or no description", p.Title)
	}
	if !strings.HasSuffix(p.Description, ".") && p.Type != "text" {
		t.Errorf("%q: the description is no sentence", p.Title)
	}
	if p.Type == "text" {
		return
	}
	fits(t, p.Title, p.Datasource)
	p.checkColumns(t)
	if p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%q has no unit", p.Title)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%q asks nothing", p.Title)
	}
	for _, target := range p.Targets {
		fits(t, p.Title, target.Datasource)
		if strings.Contains(target.Expr, "$__interval") {
			t.Errorf("%q: $__interval may be shorter than a scrape; $__rate_interval is not", p.Title)
		}
		q, ok := parse(t, p.Title, plain(target.Expr))
		if !ok {
			continue
		}
		// A counter's window in a panel follows the range that is looked at.
		each(q.expr, func(window *parser.MatrixSelector, parents []parser.Node) {
			call, ok := parents[len(parents)-1].(*parser.Call)
			if ok && (call.Func.Name == "rate" || call.Func.Name == "increase") && p.Type == "timeseries" &&
				!strings.Contains(target.Expr, "$__r") {
				t.Errorf("%q: %s of a fixed window is blank or wrong in long ranges; use $__rate_interval", p.Title, call.Func.Name)
			}
		})
		if !scoped(q.expr) {
			t.Errorf("%q asks for series of whomever: %s", p.Title, target.Expr)
		}
	}
}

// scoped reports whether all selectors say which series are meant.
func scoped(e parser.Expr) bool {
	all := true
	each(e, func(s *parser.VectorSelector, _ []parser.Node) {
		has := false
		for _, m := range s.LabelMatchers {
			has = has || m.Name == "job" || m.Name == "cluster" || m.Name == "alertname"
		}
		all = all && has
	})
	return all
}

func overlaps(t *testing.T, panels []panel) {
	t.Helper()
	for i, p := range panels {
		a := p.GridPos
		if a.W < 1 || a.H < 1 || a.X < 0 || a.X+a.W > 24 {
			t.Errorf("%q does not fit into the 24 columns: %+v", p.Title, a)
		}
		for _, other := range panels[:i] {
			b := other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q and %q overlap", p.Title, other.Title)
			}
		}
	}
}
