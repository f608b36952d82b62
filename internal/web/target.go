package web

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// source gives a part of a page: the engine of a server, or what is scraped beside
// it. It answers when ctx ends at the latest.
type source interface {
	Scrape(ctx context.Context, sel scrape.Selection) []page.Family
	Close()
}

// target is a server or pooler that may be asked for, or the sources of backups that
// are shown on one page.
type target struct {
	config.Target
	backups []config.Backup // with a page in common; none for a server or pooler
	enabled map[string]bool // collectors, by flag
	judged  judged          // the last report on a server

	// The pool's lock guards these.
	source source    // nil until somebody asks
	users  int       // requests that use the source now
	used   time.Time // when the last of them was done
	gone   bool      // no longer in the pool: the last user closes the source
}

// is reports whether the target is the server or pooler of a name.
func (t *target) is(name string) bool { return t.backups == nil && t.Name == name }

// name is for the log: that of the target, or of the page that backups are on.
func (t *target) name() string {
	if t.backups != nil {
		return t.backups[0].Page
	}
	return t.Name
}

// same reports whether two targets are written alike.
func (t *target) same(other *target) bool {
	return t.Equal(other.Target) && slices.EqualFunc(t.backups, other.backups, config.Backup.Equal)
}

// shownOn reports whether the target is shown on the page of a name, besides its own.
func (t *target) shownOn(name string) bool {
	if t.backups != nil {
		return t.backups[0].Page == name
	}
	return t.ShownOn(name)
}

// lent is what a page is made of, while a request uses it.
type lent struct {
	enabled map[string]bool // collectors, by flag
	targets []*target       // the one that was asked for first
	sources []source        // of the targets
}

// asked returns the source of the target of a name; nil if only others are shown there.
func (l *lent) asked(name string) source {
	if !l.targets[0].is(name) {
		return nil
	}
	return l.sources[0]
}

// member is the member of a cluster that is asked about the server; nil where none is.
func (l *lent) member() *patroni.Watcher {
	if server, ok := l.sources[0].(*observed); ok {
		return server.member
	}
	return nil
}

// scrape reads all sources at the same time. One that hangs costs the others
// nothing: each answers by the end of ctx.
func (l *lent) scrape(ctx context.Context, sel scrape.Selection) []page.Family {
	l.introduce()
	parts := make([][]page.Family, len(l.sources))
	var reading sync.WaitGroup
	for i, s := range l.sources {
		reading.Go(func() { parts[i] = s.Scrape(ctx, sel) })
	}
	reading.Wait()
	return scrape.Join(parts...)
}

// firstLooks are the backups of which nothing is known yet.
func (l *lent) firstLooks() (list []*backups) {
	for _, s := range l.sources {
		if b, ok := s.(*backups); ok && !b.group.Looked() {
			list = append(list, b)
		}
	}
	return list
}

// introduce tells backups of the archiver of the server beside them.
func (l *lent) introduce() {
	for _, s := range l.sources {
		server, ok := s.(*observed)
		if !ok {
			continue
		}
		for _, other := range l.sources {
			if b, ok := other.(*backups); ok {
				b.noteArchived(server.Archived())
			}
		}
	}
}
