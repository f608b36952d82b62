package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rendered is the mixin as it is checked.
type rendered struct {
	boards []board
	empty  map[string]string // when a panel may be empty, by board and title
}

// board is what is read of a Grafana board.
type board struct {
	UID        string
	Panels     []panel
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
	Annotations struct{ List []struct{ Name, Expr string } }
}

type panel struct {
	Type, Title string
	Panels      []panel
	Targets     []struct{ Expr string }
}

// all are the panels of a board without its rows, which have those that are folded.
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

// often is how often rules are evaluated here; alerts and windows are as they are
// shipped.
const often = "{ _config+:: { interval: '2s' } }"

// allowances prints the panels that may be empty, from the declarations: Grafana is not
// told.
const allowances = `
local m = (import 'mixin/mixin.libsonnet');
{
  [uid + ' / ' + p.title]: p.emptyWhen
  for uid in std.objectFields(m.boards)
  for row in m.boards[uid].rows
  for p in row.panels
  if std.objectHas(p, 'emptyWhen')
}`

// render writes the rules and boards to dir, and reads the boards.
func render(ctx context.Context, top, dir string) (rendered, error) {
	m := rendered{empty: map[string]string{}}
	if _, err := jsonnet(ctx, top, "-S", "-c", "-m", dir, "--ext-code", "config="+often, "mixin/rendered.jsonnet"); err != nil {
		return m, err
	}
	text, err := jsonnet(ctx, top, "--exec", allowances)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m.empty); err != nil {
		return m, fmt.Errorf("read which panels may be empty: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "dashboards", "*.json"))
	if err != nil {
		return m, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return m, err
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			return m, fmt.Errorf("read %s: %w", file, err)
		}
		m.boards = append(m.boards, b)
	}
	return m, nil
}

// jsonnet runs the program that JSONNET names.
func jsonnet(ctx context.Context, top string, args ...string) ([]byte, error) {
	program := os.Getenv("JSONNET")
	if program == "" {
		program = "jsonnet"
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = top
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("render the mixin: %w\n%s", err, said.String())
	}
	return out, nil
}

// may says when a panel may be empty, "" for never.
func (m rendered) may(uid, title string) string {
	return m.empty[strings.TrimPrefix(uid, "pgvigil-")+" / "+title]
}
