package scrape

import (
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// extensions are those found in each database that a session has been on.
type extensions map[string]map[string]postgres.Extension

// place returns the database that a collector of the server runs in: one that
// has the extension it needs in a schema that may be used, the maintenance
// database before others; while none is known, the next that nobody has looked
// into. The caller holds the lock.
func (e *Engine) place(u *unit, facts postgres.Facts) string {
	name := u.c.Needs.Extension
	if name == "" || facts.Extensions[name].Usable {
		return facts.Database
	}
	for _, database := range e.watched() {
		if e.found[database][name].Usable {
			return database
		}
	}
	if database, left := e.unseen(facts.Database); left {
		return database
	}
	for _, database := range e.watched() {
		if _, there := e.found[database][name]; there {
			return database // for the skip to say what is wrong
		}
	}
	return facts.Database
}

// unseen returns a database in which nobody has looked for extensions; the caller
// holds the lock.
func (e *Engine) unseen(main string) (string, bool) {
	for _, database := range e.watched() {
		if e.found[database] == nil && database != main {
			return database, true
		}
	}
	return "", false
}

// noteExtensions records what a session found, and that a database could not be
// looked into: it is not tried again for that alone.
func (e *Engine) noteExtensions(database string, found map[string]postgres.Extension) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if found == nil {
		found = map[string]postgres.Extension{}
	}
	e.found[database] = found
}

// searchOn makes a collector due again that did not find its extension while
// there is a database left to look into.
func (e *Engine) searchOn(s slot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.record(s)
	if _, left := e.unseen(e.maindb); left && s.database == "" && s.unit.c.Needs.Extension != "" && r.skip != "" {
		r.began = r.began.AddDate(-1, 0, 0)
	}
}
