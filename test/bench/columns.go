package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// gatherTimeout bounds one scrape of everything.
const gatherTimeout = time.Minute

// gather reads all columns once, through an engine of our own, to have what a
// page is written from.
func (b *bench) gather(ctx context.Context) error {
	collectors := defaults(spec.From(spec.PostgreSQL, collector.All()))
	server, err := postgres.New(postgres.Config{
		ConnString: b.stage.server.DSN(pgtest.Monitor, mainDatabase), Probe: scrape.Probe(collectors),
	})
	if err != nil {
		return err
	}
	engine := scrape.New(ctx, server, scrape.Options{Collectors: collectors})
	defer engine.Close()
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	b.columns = engine.Scrape(ctx, scrape.Selection{})
	return nil
}

// defaults are the collectors that are on without any flag.
func defaults(all []spec.Collector) []spec.Collector {
	on := map[string]bool{}
	for _, c := range all {
		if c.Of == "" {
			on[c.Name] = c.Default
		}
	}
	return slices.DeleteFunc(all, func(c spec.Collector) bool { return !on[c.Flag()] })
}

// write writes the columns as the exporter would and throws the page away.
func (b *bench) write() error {
	if err := page.Write(io.Discard, expfmt.NewFormat(expfmt.TypeTextPlain), b.columns, nil); err != nil {
		return fmt.Errorf("write the columns: %w", err)
	}
	return nil
}
