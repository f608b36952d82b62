package readiness

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/pgvigil/pgvigil/internal/spec"
)

//go:embed readiness.md.tmpl
var document string

// cell keeps a text in its cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(text)
}

// Document writes docs/readiness.md: what the reports are, and every check and limit.
func Document(w io.Writer) error {
	t, err := template.New("readiness.md").Funcs(template.FuncMap{"cell": cell, "where": where}).Parse(document)
	if err != nil {
		return fmt.Errorf("read the template of docs/readiness.md: %w", err)
	}
	type factor struct {
		Factor
		Checks []Check
	}
	var factors []factor
	for _, f := range Factors() {
		var of []Check
		for _, c := range Checks() {
			if c.Factor == f {
				of = append(of, c)
			}
		}
		factors = append(factors, factor{f, of})
	}
	if err := t.Execute(w, map[string]any{"Factors": factors, "Limits": DefaultLimits(), "Count": len(Checks())}); err != nil {
		return fmt.Errorf("write docs/readiness.md: %w", err)
	}
	return nil
}

// where says which servers a check is of.
func where(c Check) string {
	var parts []string
	switch c.On {
	case spec.Primary:
		parts = append(parts, "primary")
	case spec.Standby:
		parts = append(parts, "standby")
	}
	if c.Since > 0 {
		parts = append(parts, fmt.Sprintf("%d+", c.Since))
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, ", ")
}
