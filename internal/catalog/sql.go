package catalog

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// DumpSQL writes each collector's SQL as DIR/MAJOR/COLLECTOR.sql, ready for psql.
// A collector without a query for a major gets no file there.
func DumpSQL(dir string, collectors []spec.Collector) error {
	for _, major := range spec.Majors() {
		sub := filepath.Join(dir, major.String())
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return fmt.Errorf("catalog: dump SQL: %w", err)
		}
		for _, c := range spec.From(spec.PostgreSQL, collectors) {
			text, ok, err := statement(part{c}, major)
			if err != nil {
				return fmt.Errorf("catalog: dump SQL: %w", err)
			}
			if !ok {
				continue
			}
			if err := os.WriteFile(filepath.Join(sub, c.Name+".sql"), []byte(text), 0o644); err != nil {
				return fmt.Errorf("catalog: dump SQL: %w", err)
			}
		}
	}
	return nil
}

// statement returns the collector's text under a line that says what it is. An
// extension is taken to be as new as the texts know, and to live in public.
func statement(p part, major spec.Version) (string, bool, error) {
	envs := environments(p.Collector, major)
	env := envs[len(envs)-1]
	query, ok := p.Query(env)
	if !ok {
		return "", false, nil
	}
	text, err := spec.Render(query.SQL, env)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", p.Name, err)
	}
	return fmt.Sprintf("-- %s on PostgreSQL %s: runs %s; %s\n%s;\n", p.Name, major, p.Runs(), p.Takes(), text), true, nil
}
