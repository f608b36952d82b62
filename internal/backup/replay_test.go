package backup

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// replay looks at a source whose command answers with recorded files.
func replay(t *testing.T, kind Kind, command ...string) (Report, error) {
	t.Helper()
	c := Config{Kind: kind, Stanza: "main", Command: append([]string{"/bin/sh"}, command...)}
	return kind.reader().look(t.Context(), c, newRunner(c, os.Environ()).ask)
}

// differs compares what was read with what it should be.
func differs(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// fixed is an ask of fixed answers, by command.
func fixed(byCommand map[string]answer) ask {
	return func(_ context.Context, args ...string) (answer, error) {
		if args[0] == "-f" {
			args = args[2:]
		}
		return byCommand[args[0]], nil
	}
}

// content is a file.
func content(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fails holds that an error has a reason and says something; "" is no error.
func fails(t *testing.T, err error, reason Reason, says string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Errorf("look: %v", err)
		}
		return
	}
	var look *LookError
	if !errors.As(err, &look) || look.Reason != reason || !strings.Contains(err.Error(), says) {
		t.Errorf("look: %v; want one of reason %s that says %q", err, reason, says)
	}
}

// sound holds what every report keeps to.
func sound(t *testing.T, r Report) {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == "" || strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("check %q", c.Name)
		}
	}
	for _, repo := range r.Repositories {
		if !slices.IsSortedFunc(repo.WAL, func(a, b WALRange) int { return compareSegments(a.First, b.First) }) {
			t.Errorf("ranges out of order: %v", repo.WAL)
		}
		for _, w := range repo.WAL {
			if w.First.Timeline != w.Timeline || w.Last.Timeline != w.Timeline || compareSegments(w.First, w.Last) > 0 {
				t.Errorf("no range: %v", w)
			}
		}
		for _, b := range repo.Backups {
			if b.State == Done && b.Stop.IsZero() {
				t.Errorf("backup without an end: %+v", b)
			}
			for _, size := range []float64{b.Database, b.Delta, b.Stored, b.StoredDelta} {
				if !spec.IsAbsent(size) && !(size >= 0) {
					t.Errorf("sizes: %+v", b)
				}
			}
		}
	}
}
