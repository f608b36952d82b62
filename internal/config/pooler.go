package config

import (
	"go.yaml.in/yaml/v3"
)

// consoleDatabase is the name under which PgBouncer's admin console is reached.
const consoleDatabase = "pgbouncer"

// kind reads what a target is.
func (d *decoder) kind(into *Kind) field {
	return func(key string, n *yaml.Node) {
		s, ok := d.scalar(key, n)
		switch {
		case !ok:
		case s == "postgresql":
			*into = PostgreSQL
		case s == "pgbouncer":
			*into = PgBouncer
		default:
			d.failf(n, "%s is neither postgresql nor pgbouncer", key)
		}
	}
}

// checkKind checks that the keys fit what the target is.
func (d *decoder) checkKind(w *written) {
	if w.kind != PgBouncer {
		if n := w.has["page"]; n != nil {
			d.failf(n, "page is for poolers: remove it, or give kind: pgbouncer")
		}
		return
	}
	for _, key := range []string{"collectors", "databases", "sessions", "patroni", "patroni_ca"} {
		if n := w.has[key]; n != nil {
			d.failf(n, "%s is for servers: remove it. A pooler is read over one session, by the collectors that the flags switch on", key)
		}
	}
}

// pages checks that poolers are shown on pages of servers, and one at most on each:
// the series of two would be the same. n is the list that the targets were read of.
func (d *decoder) pages(targets []Target, n *yaml.Node) {
	if len(d.errs) > 0 {
		return // a page may be of a target that could not be read
	}
	kinds := map[string]Kind{}
	for _, t := range targets {
		kinds[t.Name] = t.Kind
	}
	lines := map[string]int{}
	for i, t := range targets {
		at, page := value(follow(n.Content[i]), "page"), t.Page
		if at == nil {
			continue
		}
		kind, ok := kinds[page]
		switch line, taken := lines[page]; {
		case page != MainPage && (!ok || kind != PostgreSQL) && word.MatchString(page):
			d.failf(at, "page %q is no server: give the name of a target that is one, or %s", page, MainPage)
		case page != MainPage && (!ok || kind != PostgreSQL):
			d.failf(at, "page is no server: give the name of a target that is one, or %s", MainPage)
		case taken:
			d.failf(at, "the pooler of line %d is on page %q already: leave page out here, and ask for this one by its own name", line, page)
		}
		lines[page] = at.Line
	}
}

// value returns the value of a key of a mapping, nil where it has none.
func value(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return follow(mapping.Content[i+1])
		}
	}
	return nil
}
