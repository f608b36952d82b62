package web

import (
	"context"
	"sync"
	"time"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// source gives a part of a page: the engine of a server, or what is scraped beside
// it. It answers when ctx ends at the latest.
type source interface {
	Scrape(ctx context.Context, sel scrape.Selection) []page.Family
	Close()
}

// target is a server or pooler that may be asked for.
type target struct {
	config.Target
	enabled map[string]bool // collectors, by flag

	// The pool's lock guards these.
	source source    // nil until somebody asks
	users  int       // requests that use the source now
	used   time.Time // when the last of them was done
	gone   bool      // no longer in the pool: the last user closes the source
}

// lent is what a page is made of, while a request uses it.
type lent struct {
	enabled map[string]bool // collectors, by flag
	targets []*target       // the one that was asked for first
	sources []source        // of the targets
}

// scrape reads all sources at the same time. One that hangs costs the others
// nothing: each answers by the end of ctx.
func (l *lent) scrape(ctx context.Context, sel scrape.Selection) []page.Family {
	parts := make([][]page.Family, len(l.sources))
	var reading sync.WaitGroup
	for i, s := range l.sources {
		reading.Go(func() { parts[i] = s.Scrape(ctx, sel) })
	}
	reading.Wait()
	return scrape.Join(parts...)
}
