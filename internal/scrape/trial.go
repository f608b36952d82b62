package scrape

import (
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Trial runs one collector outside an engine, through the engine's own code: for
// recorded pages, where the rows are read from a file, and for trying a
// collector by hand.
type Trial struct{ unit *unit }

// NewTrial returns a trial that keeps state between runs as an engine does.
func NewTrial(c spec.Collector) *Trial {
	limit := 0
	if c.Fold != nil {
		limit = c.Fold.Limit
	}
	t := &Trial{unit: newUnit(c, limit)}
	t.unit.alone = true
	return t
}

// SQL returns the text the collector sends to a server, or why it sends none.
func (t *Trial) SQL(facts postgres.Facts, role spec.Role) (string, Skip, error) {
	p, skip, err := t.unit.plan(facts, role)
	if p == nil {
		return "", skip, err
	}
	return p.sql, "", nil
}

// Page binds the rows of a run and returns what a page shows of them. dropped are
// the columns the server lacks.
func (t *Trial) Page(run spec.Run, facts postgres.Facts, rows *spec.Rows, dropped []string) ([]page.Family, error) {
	p, _, err := t.unit.plan(facts, run.Role)
	if p == nil {
		return nil, err
	}
	r, err := t.unit.bind(run, rows, p, dropped)
	if err != nil {
		return nil, err
	}
	return t.unit.families([]*result{r}), nil
}
