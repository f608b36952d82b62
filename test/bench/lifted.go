package main

import (
	"bytes"
	"context"
	"strconv"
	"time"
)

// liftedFigures are what a page with all series is.
type liftedFigures struct {
	series int
	bytes  int64
	// What a whole page has none of.
	tablesMissing, folded, failed int
	exporter                      time.Duration // CPU of one page
}

// flags are those of the workload's exporters.
func (w workload) flags() []string {
	if !w.lifted {
		return nil
	}
	// One session lasts on the maintenance database, another reads beside it.
	return []string{"--series.max=0", "--sessions.max=" + strconv.Itoa(w.databases+2)}
}

// lifted gets whole pages from an exporter without budgets.
func (b *bench) lifted(ctx context.Context) (err error) {
	if err := b.stage.awaitGone(ctx); err != nil {
		return err
	}
	served, err := b.stage.timeOf(ctx, exporterName)
	if err != nil {
		return err
	}
	if b.exporter, err = b.start(ctx, b.server()); err != nil {
		return err
	}
	if _, b.f.firstWall, err = b.exporter.Drain(ctx, "/metrics", patient); err != nil {
		return err
	}
	if err := b.stage.quiet(ctx); err != nil {
		return err
	}
	now, err := b.stage.timeOf(ctx, exporterName)
	if err != nil {
		return err
	}
	b.f.firstServer = now - served
	if b.f.firstExporter, err = b.exporterClock(); err != nil {
		return err
	}
	if err := b.awaitWhole(ctx); err != nil {
		return err
	}
	if err := b.watched(ctx, &b.f.sessions, b.scrapeWhole); err != nil {
		return err
	}
	if err := b.weigh(b.exporter); err != nil {
		return err
	}
	return b.inspect(ctx)
}

// awaitWhole waits until all has been read once: what the first scrape had no time
// for, a later one reads. A page that never becomes whole is measured all the same.
func (b *bench) awaitWhole(ctx context.Context) error {
	for end := time.Now().Add(b.sizes.liftedFor); ; {
		if err := b.inspect(ctx); err != nil {
			return err
		}
		if b.f.lifted.tablesMissing == 0 && b.f.lifted.failed == 0 || time.Now().After(end) {
			return b.stage.quiet(ctx)
		}
		if err := sleep(ctx, still); err != nil {
			return err
		}
	}
}

// scrapeWhole gets pages one after the other.
func (b *bench) scrapeWhole(ctx context.Context) error {
	l := &b.f.lifted
	before, err := b.exporterClock()
	if err != nil {
		return err
	}
	for end := time.Now().Add(b.sizes.liftedFor); len(b.f.wall) < b.sizes.lifted && time.Now().Before(end); {
		var took time.Duration
		if l.bytes, took, err = b.exporter.Drain(ctx, "/metrics", patient); err != nil {
			return err
		}
		b.f.wall = append(b.f.wall, took)
	}
	time.Sleep(settle)
	after, err := b.exporterClock()
	l.exporter = (after - before) / time.Duration(len(b.f.wall))
	return err
}

// inspect tells whether a page is whole: each table is there, nothing is folded
// or has failed.
func (b *bench) inspect(ctx context.Context) error {
	l := &b.f.lifted
	*l = liftedFigures{bytes: l.bytes, exporter: l.exporter, tablesMissing: b.load.databases * b.load.tables}
	return b.exporter.Lines(ctx, "/metrics", patient, func(line []byte) {
		switch {
		case line[0] == '#':
			return
		case bytes.HasPrefix(line, []byte("pg_stat_user_tables_n_live_tup{")):
			l.tablesMissing--
		case bytes.HasPrefix(line, []byte("pgvigil_collector_folded{")):
			n, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
			if err != nil || n > 0 {
				l.folded++
			}
		case bytes.HasPrefix(line, []byte("pgvigil_collector_success{")) && line[len(line)-1] == '0':
			l.failed++
		}
		l.series++
	})
}
