package backup

import (
	"context"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Group is the sources of one page, which read as one: a collector's rows are those
// of all of them.
type Group []*Watcher

// Read is as a Watcher's.
func (g Group) Read(ctx context.Context) []spec.Reading {
	p := newPage()
	for _, w := range g {
		w.add(ctx, p)
	}
	return p.readings()
}

// Archived takes note of a success of the archiver of the page's server.
func (g Group) Archived(a Archived) {
	for _, w := range g {
		w.Archived(a)
	}
}

// Looked reports whether each source has been looked at, once at least.
func (g Group) Looked() bool {
	for _, w := range g {
		select {
		case <-w.first:
		default:
			return false
		}
	}
	return true
}

// Await waits for the first look at each source, or until ctx ends.
func (g Group) Await(ctx context.Context) {
	for _, w := range g {
		select {
		case <-w.first:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends all sources at once, and waits for them.
func (g Group) Close() {
	for _, w := range g {
		w.cancel()
	}
	for _, w := range g {
		w.Close()
	}
}
