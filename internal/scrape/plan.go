package scrape

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// plan is a collector's text for one kind of server.
type plan struct {
	sql     string
	expects []string // labels, metrics and keys the text has an alias for
}

// plan returns the collector's text for the server of a session, or why it does
// not run there.
func (u *unit) plan(facts postgres.Facts, role spec.Role) (*plan, Skip, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	env := spec.Env{Major: facts.Major}
	if name := u.c.Needs.Extension; name != "" {
		ext, ok := facts.Extensions[name]
		if !ok {
			return nil, SkipExtension, nil
		}
		if !ext.Usable {
			return nil, SkipPrivilege, nil
		}
		env.Extension, env.Schema = ext.Version, ext.Schema
	}
	if u.c.Follow != nil && u.follow.of == nil && !u.alone {
		return nil, SkipFollowed, nil
	}
	if skip := unmet(u.c.Needs, facts, role); skip != "" {
		return nil, skip, nil
	}
	if p, ok := u.plans[env]; ok {
		return p, "", nil
	}
	query, ok := u.c.Query(env)
	if !ok {
		return nil, SkipVersion, nil
	}
	sql, err := spec.Render(query.SQL, env)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", u.c.Name, err)
	}
	p := &plan{sql: sql, expects: expected(u.c, spec.Aliases(sql))}
	u.plans[env] = p
	return p, "", nil
}

// expected lists the declared columns that the text has an alias for.
func expected(c spec.Collector, aliases []string) []string {
	var names []string
	for _, m := range c.Metrics {
		names = append(names, m.Name)
	}
	if c.Emit == nil {
		names = append(names, c.Labels...)
	}
	if c.Fold != nil {
		names = append(names, c.Fold.Key)
		names = append(names, c.Fold.Rank...)
		names = append(names, c.Fold.Began...)
	}
	if c.Follow != nil {
		names = append(names, c.Follow.Column)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(aliases, n) })
}

// match proves that the columns are the declared ones, each of its kind.
func (p *plan) match(c spec.Collector, columns []spec.Column, dropped []string) error {
	for _, name := range p.expects {
		if slices.Contains(dropped, name) {
			// Without a label or a key nobody could tell the rows apart.
			if kindOf(c, name) == spec.Text {
				return fmt.Errorf("%s: %w", c.Name, &MissingError{Column: name})
			}
			continue
		}
		i := slices.IndexFunc(columns, func(col spec.Column) bool { return col.Name == name })
		if i < 0 {
			return fmt.Errorf("%s: %w", c.Name, &MismatchError{Column: name, Problem: "is missing from the result"})
		}
		if want := kindOf(c, name); columns[i].Kind != want {
			return fmt.Errorf("%s: %w", c.Name, &MismatchError{Column: name, Problem: "must be cast to " + kindName(want)})
		}
	}
	if c.Emit != nil {
		return nil
	}
	for _, col := range columns {
		if !slices.Contains(p.expects, col.Name) {
			return fmt.Errorf("%s: %w", c.Name, &MismatchError{Column: col.Name, Problem: "is neither label nor metric; declare it or take it out of the SQL"})
		}
	}
	return nil
}

func kindOf(c spec.Collector, name string) spec.Kind {
	if slices.Contains(c.Labels, name) || c.Fold != nil && c.Fold.Key == name || c.Follow != nil && c.Follow.Column == name {
		return spec.Text
	}
	return spec.Value
}

func kindName(k spec.Kind) string {
	if k == spec.Text {
		return "text"
	}
	return "double precision"
}

// Skip is why a collector does not run, from a fixed set fit for a label.
type Skip string

// Why a collector does not run.
const (
	SkipRole      Skip = "role"
	SkipVersion   Skip = "version"
	SkipExtension Skip = "extension"
	SkipPrivilege Skip = "privilege"
	SkipSetting   Skip = "setting"
	SkipFollowed  Skip = "followed" // the collector it follows is off
)

// unmet returns the first need that the server does not meet.
func unmet(n spec.Needs, facts postgres.Facts, role spec.Role) Skip {
	if n.Role != spec.AnyRole && n.Role != role {
		return SkipRole
	}
	for _, f := range n.Execute {
		if skip := denied(facts.Functions[f]); skip != "" {
			return skip
		}
	}
	for _, r := range n.Select {
		if skip := denied(facts.Relations[r]); skip != "" {
			return skip
		}
	}
	if n.Member != "" {
		if skip := denied(facts.Roles[n.Member]); skip != "" {
			return skip
		}
	}
	if n.Setting != "" {
		switch facts.Settings[n.Setting] {
		case "", "off", "none", "0":
			return SkipSetting
		}
	}
	return ""
}

// cure is what a person can do about a skip.
type cure struct {
	does     string // a statement, or what is to be set; empty where it is as it should be
	database string // where
}

// named is the role in the grants that collectors declare.
const named = " TO pgvigil"

// cure returns what can be done about a skip by a session's facts.
func (u *unit) cure(skip Skip, facts postgres.Facts) cure {
	n := u.c.Needs
	c := cure{database: facts.Database}
	switch ext, there := facts.Extensions[n.Extension]; skip {
	case SkipPrivilege:
		c.does = n.Grant
		if there && !ext.Usable {
			c.does = "GRANT USAGE ON SCHEMA " + postgres.QuoteIdent(ext.Schema) + named
		}
		if grant, ok := strings.CutSuffix(c.does, named); ok {
			c.does = grant + " TO " + postgres.QuoteIdent(facts.User)
		}
	case SkipExtension:
		c.does = "CREATE EXTENSION " + n.Extension
	case SkipSetting:
		c.does = "set " + n.Setting
	}
	return c
}

func denied(a postgres.Access) Skip {
	switch a {
	case postgres.Missing:
		return SkipVersion
	case postgres.Denied:
		return SkipPrivilege
	default:
		return ""
	}
}
