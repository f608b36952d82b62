package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestGrafana holds the boards against the types that Grafana publishes, of the oldest
// and of the newest that they are for; grafana/board.ts says what a board may be. A
// small board that is right, and many ways to write it wrong, are compiled with them:
// a check that lets these pass is none.
func TestGrafana(t *testing.T) {
	tsc, modules := grafana(t)
	files := render(t, "{}")
	sample := sampleBoard(t)
	for version, packages := range map[string]string{"11": "@grafana-11", "13": "@grafana"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := program{dir: t.TempDir(), parts: map[string][]part{}}
			boards := 0
			for name, text := range files {
				if path.Dir(name) == "dashboards" {
					p.add(t, path.Base(name), text)
					boards++
				}
			}
			p.add(t, "sample", sample)
			wrong := wrongBoards(version)
			for i, w := range wrong {
				text := strings.Replace(sample, w.right, w.wrong, 1)
				if text == sample {
					t.Errorf("the sample has no %s", w.right)
				}
				p.add(t, strconv.Itoa(i), text)
			}
			said := p.compile(t, tsc, modules, packages)
			for i, w := range wrong {
				name := strconv.Itoa(i)
				if !slices.ContainsFunc(said[name], func(line string) bool {
					return strings.HasPrefix(line, w.part+": ") && strings.Contains(line, w.says)
				}) {
					t.Errorf("%s instead of %s, in %s, passes: %q", w.wrong, w.right, w.part, said[name])
				}
				delete(said, name)
			}
			for board, lines := range said {
				for _, line := range lines {
					t.Errorf("%s, %s", board, line)
				}
			}
			fmt.Printf("summary: %d boards held against the types of Grafana %s, and %d ways to write one wrong\n", boards, version, len(wrong))
		})
	}
}

// grafana returns the TypeScript compiler and the directory of Grafana's types, which
// stands beside it.
func grafana(t *testing.T) (tsc, modules string) {
	t.Helper()
	tsc, err := exec.LookPath(tool(t, "tsc"))
	if err != nil {
		t.Fatal(err)
	}
	if tsc, err = filepath.EvalSymlinks(tsc); err != nil {
		t.Fatal(err)
	}
	modules = filepath.Join(tsc, "../../..")
	if _, err := os.Stat(filepath.Join(modules, "@grafana/schema")); err != nil {
		absent(t, "no types of Grafana: %v", err)
	}
	return tsc, modules
}

// program is boards as TypeScript.
type program struct {
	dir   string
	parts map[string][]part // by board
}

// part is a literal in a board's file.
type part struct {
	name string
	line int // where it begins
}

// add writes a board: each of its parts as a constant of the part's type.
func (p *program) add(t *testing.T, name, text string) {
	t.Helper()
	var b map[string]json.RawMessage
	unmarshal(t, text, &b)
	var inside struct {
		Panels      []json.RawMessage
		Templating  struct{ List []json.RawMessage }
		Annotations struct{ List []json.RawMessage }
	}
	unmarshal(t, text, &inside)
	for _, field := range []string{"panels", "templating", "annotations"} {
		delete(b, field)
	}
	out := bytes.NewBufferString("import type * as board from './board';\n")
	put := func(kind, what string, value any) {
		text, err := json.MarshalIndent(value, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		list := p.parts[name]
		p.parts[name] = append(list, part{what, 1 + bytes.Count(out.Bytes(), []byte("\n"))})
		fmt.Fprintf(out, "export const part%d: board.%s = %s;\n", len(list), kind, text)
	}
	put("Board", "the board", b)
	for _, v := range inside.Templating.List {
		put("Variable", "variable "+read(t, v).Name, v)
	}
	for _, a := range inside.Annotations.List {
		put("Annotation", "annotation "+read(t, a).Name, a)
	}
	var panel func(json.RawMessage)
	panel = func(text json.RawMessage) {
		it := read(t, text)
		if it.Type != "row" {
			put(fmt.Sprintf("Panel<%q>", it.Type), fmt.Sprintf("panel %q", it.Title), text)
			return
		}
		var row map[string]json.RawMessage
		unmarshal(t, string(text), &row)
		delete(row, "panels")
		put("Row", fmt.Sprintf("row %q", it.Title), row)
		for _, inner := range it.Panels {
			panel(inner)
		}
	}
	for _, text := range inside.Panels {
		panel(text)
	}
	write(t, p.dir, map[string]string{name + ".ts": out.String()})
}

// titled is what a part of a board is called.
type titled struct {
	Type, Name, Title string
	Panels            []json.RawMessage
}

func read(t *testing.T, text []byte) (it titled) {
	t.Helper()
	unmarshal(t, string(text), &it)
	return it
}

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// complaint is what the compiler says of a line.
var complaint = regexp.MustCompile(`^(.+)\.ts\((\d+),\d+\): error TS\d+: (.*)`)

// compile returns what the compiler says, by board: of which part, at which line of it,
// and what.
func (p *program) compile(t *testing.T, tsc, modules, packages string) map[string][]string {
	t.Helper()
	types, err := os.ReadFile("grafana/board.ts")
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]any{
		"strict": true, "exactOptionalPropertyTypes": true, "noEmit": true,
		"module": "esnext", "moduleResolution": "bundler", "target": "es2022", "lib": []string{"es2022"}, "types": []string{},
		// Grafana's declarations name those of the libraries it is made with, which are not here.
		"skipLibCheck": true,
	}
	if packages != "@grafana" {
		options["paths"] = map[string][]string{"@grafana/*": {filepath.Join(modules, packages, "*")}}
	}
	config, err := json.Marshal(map[string]any{"compilerOptions": options})
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.dir, map[string]string{
		"board.ts":      string(types),
		"units.ts":      units(t, filepath.Join(modules, packages, "data")),
		"tsconfig.json": string(config),
	})
	if err := os.Symlink(modules, filepath.Join(p.dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tsc, "--pretty", "false", "--project", ".")
	cmd.Dir = p.dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Fatalf("tsc: %v\n%s", err, stderr.String())
	}
	said := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		m := complaint.FindStringSubmatch(strings.TrimSpace(line))
		switch {
		case m != nil:
			n, _ := strconv.Atoi(m[2])
			said[m[1]] = append(said[m[1]], p.place(t, m[1], n)+": "+m[3])
		case !strings.HasPrefix(line, " "): // not more of the complaint before
			t.Errorf("tsc: %s", line)
		}
	}
	return said
}

// place is the part that a line of a board's file is in, and the line.
func (p *program) place(t *testing.T, board string, line int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, board+".ts"))
	if err != nil {
		t.Fatal(err)
	}
	name := "the types"
	for _, part := range p.parts[board] {
		if part.line <= line {
			name = part.name
		}
	}
	return name + ": " + strings.TrimSpace(strings.Split(string(text), "\n")[line-1])
}

// unitID is a unit in the list of them.
var unitID = regexp.MustCompile(`\bid: ['"]([^'"]+)['"]`)

// units returns the type of units, those in Grafana's list of them: one that it does not
// know it writes behind the value as it is.
func units(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "dist/esm/valueFormats/categories.*js"))
	if err != nil || len(files) != 1 {
		t.Fatalf("no list of units in %s: %v, %v", data, files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range unitID.FindAllStringSubmatch(string(text), -1) {
		ids = append(ids, strconv.Quote(m[1]))
	}
	if len(ids) < 200 {
		t.Fatalf("%s has but %d units", files[0], len(ids))
	}
	return "export type Unit = " + strings.Join(ids, " | ") + ";\n"
}

// sampleBoard is a board with a panel of each kind.
func sampleBoard(t *testing.T) string {
	t.Helper()
	var b any
	evaluate(t, `
local c = (import 'mixin.libsonnet')._config;
local board = import 'lib/board.libsonnet';
local up = board.target('max by (%(by)s) (pg_up{%(on)s})', '{{instance}}');
local states = { mappings: board.values([[0, 'down', 'red'], [1, 'up', 'green']]) };
board.new(c, { uid: 'sample', title: 'Sample', description: 'All kinds.', variables: ['instance'], one: ['instance'], rows: [
  { title: 'Open', panels: [
    board.timeseries('Graph', 'One.', [up], { unit: 's', min: 0, thresholds: [[null, 'transparent'], [5, 'orange']], link: board.instanceLink(c, 'series') }),
    board.stat('Tile', 'One.', [up], states),
    board.gauge('Gauge', 'One.', [up], { options: { showThresholdMarkers: true } }),
    board.barGauge('Bars', 'One.', [up]),
    board.stateTimeline('States', 'One.', [up], states),
    board.text('Text', 'One.'),
  ] },
  { title: 'Closed', collapsed: true, panels: [
    board.table('Table', 'One.', [up], { sort: 'Up', columns: board.hiddenClusterColumns(c) + [
      board.instanceColumn(c),
      { field: 'Value #A', title: 'Up', unit: 'none', width: 100, thresholds: [[null, 'red'], [1, 'green']] },
    ] }),
  ] },
] })`, "{}", &b)
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wrongBoard is a way to write the sample wrong: a part of it, what stands there, what
// shall stand there instead, and a word that a complaint has to have.
type wrongBoard struct{ part, right, wrong, says string }

func wrongBoards(version string) []wrongBoard {
	list := []wrongBoard{
		{"the board", `"schemaVersion": 39`, `"schemaVersion": 42`, "42"},
		{"the board", `"graphTooltip": 1`, `"graphTooltip": 3`, "3"},
		{"the board", `"keepTime"`, `"keeptime"`, "keepTime"},
		{"the board", `"refresh": "`, `"refersh": "`, "refersh"},
		{"variable cluster", `"refresh": 2`, `"refresh": 5`, "5"},
		{"variable cluster", `"definition"`, `"definiton"`, "definiton"},
		{"variable cluster", `"query": "label_values`, `"expression": "label_values`, "expression"},
		{"variable datasource", `"query": "prometheus"`, `"query": "loki"`, "loki"},
		{"annotation Alerts", `"titleFormat"`, `"title"`, "title"},
		{"annotation Alerts", `"iconColor": "red"`, `"iconColor": "rad"`, "rad"},
		{`row "Open"`, `"collapsed": false`, `"collapsed": "no"`, "boolean"},
		{`panel "Graph"`, `"type": "timeseries"`, `"type": "graph"`, "graph"},
		{`row "Open"`, `"gridPos"`, `"gridpos"`, "gridpos"},
		{`panel "Graph"`, `"showPoints": "auto"`, `"showPoints": "some"`, "some"},
		{`panel "Graph"`, `"fillOpacity"`, `"opacity"`, "opacity"},
		{`panel "Graph"`, `"mode": "multi"`, `"mode": "all"`, "all"},
		{`panel "Graph"`, `"placement": "bottom"`, `"placement": "below"`, "below"},
		{`panel "Graph"`, `"lastNotNull"`, `"lastNonNull"`, "lastNonNull"},
		{`panel "Graph"`, `"unit": "s"`, `"unit": "seconds"`, "seconds"},
		{`panel "Graph"`, `"color": "orange"`, `"color": "oragne"`, "oragne"},
		{`panel "Graph"`, `"mode": "palette-classic"`, `"mode": "classic"`, "classic"},
		{`panel "Graph"`, `"value": 5`, `"value": "5"`, "string"},
		{`panel "Graph"`, `"value": null`, `"value": 0`, "null"},
		{`panel "Graph"`, `"legendFormat"`, `"legend"`, "legend"},
		{`panel "Graph"`, `"url": "/d/pgvigil-instance`, `"href": "/d/pgvigil-instance`, "href"},
		{`panel "Tile"`, `"colorMode"`, `"colourMode"`, "colourMode"},
		{`panel "Tile"`, `"match": "null+nan"`, `"match": "unknown"`, "unknown"},
		{`panel "Gauge"`, `"showThresholdMarkers"`, `"showThresholdMarker"`, "showThresholdMarker"},
		{`panel "Bars"`, `"displayMode": "basic"`, `"displayMode": "plain"`, "plain"},
		{`panel "States"`, `"rowHeight"`, `"rowheight"`, "rowheight"},
		{`panel "Text"`, `"mode": "markdown"`, `"mode": "md"`, "md"},
		{`panel "Table"`, `"format": "table"`, `"format": "rows"`, "rows"},
		{`panel "Table"`, `"cellHeight": "sm"`, `"cellHeight": "small"`, "small"},
		{`panel "Table"`, `"custom.width"`, `"custom.with"`, "custom.with"},
		{`panel "Table"`, `"type": "color-background"`, `"type": "background"`, "background"},
		{`panel "Table"`, `"id": "byName"`, `"id": "name"`, "name"},
		{`panel "Table"`, `"id": "organize"`, `"id": "organise"`, "organise"},
		{`panel "Table"`, `"renameByName"`, `"rename"`, "rename"},
		{`panel "Table"`, `"include"`, `"only"`, "only"},
	}
	// What one of them knows and the other does not.
	if version == "11" {
		return append(list, wrongBoard{"variable datasource", `"hide": 0`, `"hide": 3`, "3"})
	}
	return append(list, wrongBoard{`panel "Table"`, `"showHeader": true`,
		`"showHeader": true, "footer": {"show": false, "reducer": [], "countRows": false}`, "footer"})
}
