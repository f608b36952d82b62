package page

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLabels(t *testing.T) {
	tests := map[string]struct {
		names, row, read []string
		block            string
	}{
		"none":          {nil, nil, []string{}, ``},
		"one":           {[]string{"datname"}, []string{"app"}, []string{"app"}, `{datname="app"}`},
		"order is kept": {[]string{"b", "a"}, []string{"1", "2"}, []string{"1", "2"}, `{b="1",a="2"}`},
		"empty":         {[]string{"a", "b"}, []string{"", ""}, []string{"", ""}, `{a="",b=""}`},
		"escaped":       {[]string{"a", "b"}, []string{`\n"`, "\n\\"}, []string{`\n"`, "\n\\"}, `{a="\\n\"",b="\n\\"}`},
		"like a block":  {[]string{"a", "b"}, []string{`",b="`, `"}`}, []string{`",b="`, `"}`}, `{a="\",b=\"",b="\"}"}`},
		"not UTF-8":     {[]string{"a"}, []string{"caf\xe9\xff!"}, []string{"caf\uFFFD!"}, "{a=\"caf\uFFFD!\"}"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			other := slices.Repeat([]string{"x"}, len(test.names))
			l := labels(t, test.names, other, test.row, other)
			if l.Len() != 3 {
				t.Errorf("Len = %d, want 3", l.Len())
			}
			if got := string(l.Block(1)); got != test.block {
				t.Errorf("Block = %s, want %s", got, test.block)
			}
			if diff := cmp.Diff(test.read, l.values(1)); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLabelsZero(t *testing.T) {
	var l Labels
	if err := l.Append(); err != nil || l.Len() != 1 || len(l.Block(0)) != 0 {
		t.Errorf("Append to the zero value: %v, %d rows, block %q", err, l.Len(), l.Block(0))
	}
}

func TestNewLabelsRefuses(t *testing.T) {
	for _, names := range [][]string{{""}, {"a.b"}, {"9a"}, {"a:b"}, {"__name__"}, {"a", "a"}} {
		if _, err := NewLabels(names...); err == nil {
			t.Errorf("NewLabels(%q) succeeded", names)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	l := labels(t, []string{"a", "b"}, []string{"1", "2"})
	for _, values := range [][][]byte{nil, {nil}, {nil, nil, nil}} {
		if err := l.Append(values...); err == nil || l.Len() != 1 {
			t.Errorf("Append of %d values: error %v and %d rows, wanted an error and 1", len(values), err, l.Len())
		}
	}
}

// TestAppendAllocates holds that a row costs no allocation but the arena's growth.
func TestAppendAllocates(t *testing.T) {
	l := labels(t, []string{"datname", "relname"})
	l.text, l.ends = make([]byte, 0, 1<<20), make([]int, 0, 1<<14)
	datname, relname := []byte("app"), []byte(`the "table"`)
	got := testing.AllocsPerRun(1000, func() {
		if err := l.Append(datname, relname); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("Append allocates %v times", got)
	}
}
