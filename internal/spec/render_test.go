package spec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/spec"
)

const marked = `
SELECT a::text               AS label
     , b / 1000              AS b_seconds_total  -- until 18
     , c::double precision   AS c_total          -- since 16
     , d::double precision   AS d_total          -- since 14 until 17
     , e::double precision   AS e_total          -- since 1.10
  FROM @extschema@.view`

func TestRender(t *testing.T) {
	for name, c := range map[string]struct {
		env  spec.Env
		want []string
	}{
		"oldest":               {spec.Env{Major: 13, Extension: spec.Ext(1, 8)}, []string{"label", "b_seconds_total"}},
		"between":              {spec.Env{Major: 16, Extension: spec.Ext(1, 9)}, []string{"label", "b_seconds_total", "c_total", "d_total"}},
		"newest":               {spec.Env{Major: 18, Extension: spec.Ext(1, 12)}, []string{"label", "c_total", "e_total"}},
		"unknown future major": {spec.Env{Major: 25, Extension: spec.Ext(2, 0)}, []string{"label", "c_total", "e_total"}},
		"old extension on a new server": {
			spec.Env{Major: 18, Extension: spec.Ext(1, 8)}, []string{"label", "c_total"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.env.Schema = `my "schema"`
			text, err := spec.Render(marked, c.env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, spec.Aliases(text)); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(text, "--") || !strings.Contains(text, `FROM "my ""schema""".view`) {
				t.Errorf("rendered text:\n%s", text)
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, line := range []string{
		", a AS a -- a comment", ", a AS a -- sinc 14", ", a AS a -- since", ", a AS a -- until 18 since 14",
		", a AS a --", ", a AS a -- since 14.x", "-- since 99999", ", '--' AS a", ", a AS a -- since 14 -- until 18",
	} {
		if text, err := spec.Render("SELECT 1 AS one\n"+line, spec.Env{Major: 18}); err == nil {
			t.Errorf("%q was rendered as %q", line, text)
		} else if !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: the error names no line: %v", line, err)
		}
	}
}

func TestAliases(t *testing.T) {
	for text, want := range map[string][]string{
		"SELECT 1 AS a": {"a"},
		"WITH x AS (\n  SELECT 1 AS inner_one\n       , ')(' AS inner_two\n)\nSELECT x.a AS a\n     , CASE WHEN b\n            THEN (1) END AS b\n  FROM x AS y\n  JOIN (\n SELECT 2 AS c\n) AS z\n    ON true AS d": {"a", "b"},
		"SELECT (SELECT 1 AS deep\n          FROM y) AS a\n  FROM x":                            {"a"},
		"SELECT 1 AS a\n  FROM x\n UNION ALL\nSELECT 2 AS b\n  FROM y\n ORDER BY 1":             {"b"},
		"SELECT extract(epoch\n FROM now()) AS a\n     , 2::double precision AS \"B\"\n FROM x": {"a"},
	} {
		if diff := cmp.Diff(want, spec.Aliases(text)); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
}

func TestDropLine(t *testing.T) {
	const text = "SELECT 'ä' AS a\n     , x.b AS b\n  FROM x"
	at := func(part string) int { return len([]rune(text[:strings.Index(text, part)])) + 1 }
	rest, column, ok := spec.DropLine(text, at("x.b"))
	if !ok || column != "b" || rest != "SELECT 'ä' AS a\n  FROM x" {
		t.Errorf("got %q, column %q, %v", rest, column, ok)
	}
	for _, position := range []int{1, at("FROM x"), 0, -5, 1000} {
		if rest, _, ok := spec.DropLine(text, position); ok {
			t.Errorf("position %d dropped a line that cannot go: %q", position, rest)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]spec.Version{
		"14": 14, "1.9": spec.Ext(1, 9), "1.10": spec.Ext(1, 10), "3.4.1": spec.Ext(3, 4), "0.5": spec.Ext(0, 5),
	} {
		got, err := spec.ParseVersion(text)
		if err != nil || got != want {
			t.Errorf("ParseVersion(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	if spec.Ext(1, 9) >= spec.Ext(1, 10) {
		t.Error("1.9 is not before 1.10")
	}
	for _, text := range []string{"", "x", "1.", ".1", "-1", "1.-1", "4000", "1.x"} {
		if v, err := spec.ParseVersion(text); err == nil {
			t.Errorf("ParseVersion(%q) = %v, want an error", text, v)
		}
	}
}

// FuzzRender holds what the engine relies on: no panic, no comment left, and
// lines only taken away, never changed but for the mark.
func FuzzRender(f *testing.F) {
	f.Add(marked, 14, 9)
	f.Add("SELECT 1 AS a -- until 18\n, 2 AS b", 18, 0)
	f.Add("--", 13, 0)
	f.Fuzz(func(t *testing.T, sql string, major, minor int) {
		text, err := spec.Render(sql, spec.Env{Major: spec.Version(major), Extension: spec.Ext(1, minor), Schema: "public"})
		if err != nil {
			return
		}
		if strings.Contains(text, "--") && !strings.Contains(sql, "@extschema@") {
			t.Errorf("a comment is left in %q", text)
		}
		if strings.Count(text, "\n") > strings.Count(sql, "\n") {
			t.Errorf("%q has more lines than %q", text, sql)
		}
		spec.Aliases(text)
		spec.DropLine(text, major)
	})
}
