package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// statementsCollector is the one that reads pg_stat_statements.
const statementsCollector = "stat_statements"

// statementFigures compare the collector's statement with the least that reading
// its columns can be.
type statementFigures struct {
	measured         bool // the exporter has the collector
	entries, columns int
	ours, plain      []time.Duration // server CPU of one, by turn
	tempFiles        int
}

// ratio is the median of the turns' ratios.
func (s *statementFigures) ratio() float64 {
	list := make([]float64, len(s.ours))
	for i := range list {
		list[i] = float64(s.ours[i]) / float64(s.plain[i])
	}
	return quantile(list, 0.5)
}

// statements reads, in turns, the collector's text and a plain SELECT of the
// columns of pg_stat_statements that the text names.
func (b *bench) statements(ctx context.Context) (err error) {
	f := &b.f.statements
	text := b.textOf(statementsCollector)
	if text == "" {
		return nil
	}
	plain, err := b.plainStatements(ctx, text)
	if err != nil {
		return err
	}
	if f.entries, err = b.stage.statements(ctx); err != nil {
		return err
	}
	files, err := b.stage.tempFiles(ctx)
	if err != nil {
		return err
	}
	for range b.sizes.turns {
		for _, side := range []struct {
			text string
			into *[]time.Duration
		}{{text, &f.ours}, {plain, &f.plain}} {
			spent, err := b.readAnew(ctx, side.text)
			if err != nil {
				return err
			}
			*side.into = append(*side.into, spent)
		}
	}
	f.measured = true
	after, err := b.stage.tempFiles(ctx)
	f.tempFiles = after - files
	return err
}

// textOf is what the exporter sent for a collector on the maintenance database.
func (b *bench) textOf(name string) string {
	for _, s := range b.firstTraffic.sessions {
		if s.database != mainDatabase {
			continue
		}
		for _, c := range s.calls {
			if collectorOf(c.text) == name {
				return c.text
			}
		}
	}
	return ""
}

// plainStatements is the plain SELECT of what the text reads.
func (b *bench) plainStatements(ctx context.Context, text string) (string, error) {
	rows, err := b.stage.control.Query(ctx, `
SELECT a.name
  FROM pg_catalog.pg_proc p, unnest(p.proargnames, p.proargmodes) a(name, mode)
 WHERE p.proname = 'pg_stat_statements' AND a.mode = 'o'`)
	if err != nil {
		return "", fmt.Errorf("list columns: %w", err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("list columns: %w", err)
	}
	columns = slices.DeleteFunc(columns, func(c string) bool {
		return !regexp.MustCompile(`\b` + c + `\b`).MatchString(text)
	})
	b.f.statements.columns = len(columns)
	return "SELECT " + strings.Join(columns, ", ") + " FROM public.pg_stat_statements(false)", nil
}

// readAnew reads a text a few times over a session of its own, which reports its
// temporary files when it ends, and returns the server's CPU time of one reading.
// The first, which has all to look up, is not counted.
func (b *bench) readAnew(ctx context.Context, text string) (spent time.Duration, err error) {
	s, err := b.stage.newBare(ctx, mainDatabase, []call{{text: text}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.read(ctx); err != nil {
		return 0, err
	}
	clock := func() (time.Duration, error) { return cpuTime(s.pid) }
	_, spent, err = b.spend(ownTime, clock, func() error { return s.read(ctx) })
	return spent, err
}

// countTempFiles waits until all sessions have told the server's statistics what
// they wrote.
func (b *bench) countTempFiles(ctx context.Context) (err error) {
	if err := errors.Join(b.stop(ctx), b.stage.awaitGone(ctx)); err != nil {
		return err
	}
	b.f.tempFiles, err = b.stage.tempFiles(ctx)
	return err
}
