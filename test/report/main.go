// Command report runs go test with its arguments and prints what go test prints,
// then what tests sum up, the tests that were skipped and the versions of PostgreSQL
// that ran.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	// Ours comes last, since -C DIR is an argument that must come first.
	cmd := exec.Command("go", slices.Concat([]string{"test"}, args, []string{"-json"})...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := newReport(w).read(out)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return readErr
}

// event is a line of go test -json.
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// test names a test; a package's own output has an empty name.
type test struct{ pkg, name string }

type report struct {
	w       io.Writer
	output  map[test]*bytes.Buffer
	sums    []string
	skipped []string
	passed  map[spec.Version]int
	servers map[string]bool
}

func newReport(w io.Writer) *report {
	return &report{w: w, output: map[test]*bytes.Buffer{}, passed: map[spec.Version]int{}, servers: map[string]bool{}}
}

// read tells of the events as they come, and of the whole at the end.
func (r *report) read(events io.Reader) error {
	dec := json.NewDecoder(events)
	for {
		var e event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
		r.tell(e)
	}
	r.end()
	return nil
}

// servers begins the line in which package pgtest says what a package ran on.
const servers = "pgtest: PostgreSQL "

// sum begins a line that a test prints for whoever reads the report.
const sum = "summary: "

func (r *report) tell(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		if versions, ok := strings.CutPrefix(e.Output, servers); ok {
			for _, v := range strings.Split(strings.TrimSpace(versions), ", ") {
				r.servers[v] = true
			}
			return
		}
		if text, ok := strings.CutPrefix(e.Output, sum); ok {
			r.sums = append(r.sums, strings.TrimSpace(text))
			return
		}
		if strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME: -json implies -v
			return
		}
		if r.output[key] == nil {
			r.output[key] = new(bytes.Buffer)
		}
		r.output[key].WriteString(e.Output)
	case "pass", "skip":
		if e.Test == "" {
			r.w.Write(lastLine(r.output[key]))
		} else {
			r.count(e)
		}
		delete(r.output, key)
	case "fail":
		if e.Test == "" { // a panic leaves tests without an end
			for k := range r.output {
				if k.pkg == e.Package && k.name != "" {
					r.print(k)
				}
			}
		}
		r.print(key)
	}
}

func (r *report) print(key test) {
	if b := r.output[key]; b != nil {
		r.w.Write(b.Bytes())
	}
	delete(r.output, key)
}

// count notes a test that ended well. One that ran on a server has the major as
// a part of its name.
func (r *report) count(e event) {
	if e.Action == "skip" {
		r.skipped = append(r.skipped, e.Package+" "+e.Test)
		return
	}
	for part := range strings.SplitSeq(e.Test, "/") {
		if v, err := spec.ParseVersion(part); err == nil && slices.Contains(spec.Majors(), v) {
			r.passed[v]++
			return
		}
	}
}

func (r *report) end() {
	for _, text := range r.sums {
		fmt.Fprintln(r.w, text)
	}
	for _, name := range r.skipped {
		fmt.Fprintln(r.w, "skipped:", name)
	}
	for _, major := range spec.Majors() {
		for v := range r.servers {
			if strings.HasPrefix(v, major.String()+".") {
				fmt.Fprintf(r.w, "passed on PostgreSQL %s: %d\n", v, r.passed[major])
			}
		}
	}
}

// lastLine is what go test itself says of a package that passed.
func lastLine(b *bytes.Buffer) []byte {
	if b == nil {
		return nil
	}
	lines := bytes.SplitAfter(b.Bytes(), []byte("\n"))
	for _, line := range slices.Backward(lines) {
		if len(line) > 0 {
			return line
		}
	}
	return nil
}
