package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgvigil/pgvigil/internal/backup"
)

// What a source of backups has unless it says otherwise.
const (
	defaultInterval    = 5 * time.Minute
	defaultTimeout     = time.Minute
	defaultWALInterval = time.Hour
)

// variable is a name that an environment may have.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// writtenBackup is a source of backups as the file has it.
type writtenBackup struct {
	node   *yaml.Node
	server string
	config backup.Config
	page   string
	sound  bool                  // nothing was wrong with it
	has    map[string]*yaml.Node // values by key
}

// backup reads one source. Whether it is the only one of its name, and has a page,
// is for backups to say.
func (d *decoder) backup(n *yaml.Node) *writtenBackup {
	before := len(d.errs)
	w := &writtenBackup{node: follow(n)}
	c := &w.config
	w.has = d.mapping(n, "a source of backups", map[string]field{
		"kind":             d.backupKind(&c.Kind),
		"stanza":           d.text(&c.Stanza),
		"tool":             d.text(&c.Tool),
		"server":           d.text(&w.server),
		"command":          d.command(&c.Command),
		"path":             d.file(&c.Path),
		"environment":      d.environment(&c.Environment),
		"interval":         d.duration(&c.Interval),
		"timeout":          d.duration(&c.Timeout),
		"wal_interval":     d.durationOrNever(&c.WALInterval),
		"wal_segment_size": d.segmentSize(&c.SegmentSize),
		"page":             d.text(&w.page),
	})
	// What follows on a fault would only say the same in other words.
	if len(d.errs) == before {
		d.checkBackupKind(w)
	}
	if len(d.errs) == before {
		d.checkBackup(w)
	}
	w.sound = len(d.errs) == before
	return w
}

// checkBackupKind checks that a source has the keys of its kind, and no others.
func (d *decoder) checkBackupKind(w *writtenBackup) {
	c := &w.config
	if w.has["kind"] == nil {
		d.failf(w.node, "a source of backups has no kind: give one of %s", kinds())
		return
	}
	switch at := w.has["server"]; {
	case at != nil && c.Kind != backup.Barman:
		d.failf(at, "server is for kind %s only: write stanza", backup.Barman)
	case at != nil && w.has["stanza"] != nil:
		d.failf(at, "stanza and server are both given: remove one")
	case at != nil:
		c.Stanza, w.has["stanza"] = w.server, at
	}
	foreign := func(key, cure string) {
		if w.has[key] != nil {
			d.failf(w.has[key], "%s is not for kind %s: %s", key, c.Kind, cure)
		}
	}
	if c.Kind.Program() == "" {
		foreign("command", "it reads a file, which path names")
		foreign("environment", "it runs no command")
		if at := w.has["tool"]; at != nil {
			if err := backup.CheckTool(c.Tool); err != nil {
				d.failf(at, "%w", err)
			}
		}
		if c.Path == "" {
			d.failf(w.node, "a source of kind %s has no path: name the file to read", c.Kind)
		}
	} else {
		foreign("path", "it runs a command")
		foreign("tool", "the kind says it")
		if len(c.Command) == 0 {
			d.runnable("command is not given", w.has["kind"], c.Kind.Program())
		}
	}
	if !c.Kind.Lists() {
		foreign("wal_interval", "it does not list the archive by itself")
	} else if w.has["wal_interval"] == nil {
		c.WALInterval = defaultWALInterval
	}
}

// checkBackup fills in what a source leaves open, and checks the rest.
func (d *decoder) checkBackup(w *writtenBackup) {
	c := &w.config
	switch at := w.has["stanza"]; {
	case at == nil:
		d.failf(w.node, "a source of backups has no stanza: give the tool's own name of what it backs up, or any for the label stanza")
	case !word.MatchString(c.Stanza):
		d.failf(at, "stanza: use letters, digits, dots, dashes, underscores and colons, at most 63")
	}
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	at := w.has["timeout"]
	if at == nil {
		c.Timeout = min(defaultTimeout, c.Interval/2)
	}
	if c.Timeout >= c.Interval {
		d.failf(at, "timeout is not below the interval, %s: give less, so that a look is over before the next begins", c.Interval)
	}
	if w.page == MainPage {
		w.page = ""
	}
}

// backups checks sources against each other and against the targets.
func (d *decoder) backups(all []*writtenBackup, targets []Target) []Backup {
	type place struct {
		tool, stanza, page string
	}
	lines := map[place]int{}
	clean := len(d.errs) == 0 // else a target that has its own fault would seem to be missing
	var out []Backup
	for _, w := range all {
		if !w.sound {
			continue
		}
		if at := w.has["page"]; clean && w.page != "" && !slices.ContainsFunc(targets, func(t Target) bool { return t.Name == w.page }) {
			d.failf(at, "page names no target: give the name of one, or %s", MainPage)
		}
		here := place{w.config.Label(), w.config.Stanza, w.page}
		if line, ok := lines[here]; ok {
			d.failf(w.has["stanza"], "%s %q of the same page stands in line %d already: remove one, or give another page", here.tool, here.stanza, line)
		}
		lines[here] = w.has["stanza"].Line
		out = append(out, Backup{Config: w.config, Page: w.page})
	}
	return out
}

func kinds() string {
	var names []string
	for _, k := range backup.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func (d *decoder) backupKind(into *backup.Kind) field {
	return func(key string, n *yaml.Node) {
		s, ok := d.scalar(key, n)
		switch {
		case !ok:
		case slices.Contains(backup.Kinds(), backup.Kind(s)):
			*into = backup.Kind(s)
		default:
			d.failf(n, "%s is not one of %s", key, kinds())
		}
	}
}

// environment reads variables. Their values are secrets, so faults are told
// without them.
func (d *decoder) environment(into *backup.Environment) field {
	return func(key string, n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			d.failf(n, "%s is not written as NAME: value", key)
			return
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], follow(n.Content[i+1])
			switch {
			case !variable.MatchString(name.Value):
				d.failf(name, "a variable of %s has a name that no environment takes: use letters, digits and underscores", key)
			case seen[name.Value]:
				d.failf(name, "a variable stands in %s for the second time: remove one", key)
			default:
				seen[name.Value] = true
				if s, ok := d.scalar("a variable of "+key, value); ok {
					*into = append(*into, name.Value+"="+s)
				}
			}
		}
	}
}

// durationOrNever reads a duration, or 0 for never.
func (d *decoder) durationOrNever(into *time.Duration) field {
	return func(key string, n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Value == "0" {
			*into = 0
			return
		}
		d.duration(into)(key, n)
	}
}

// segmentSize reads a size as SHOW wal_segment_size writes it.
func (d *decoder) segmentSize(into *uint64) field {
	units := []struct {
		name string
		size uint64
	}{{"MB", 1 << 20}, {"GB", 1 << 30}}
	return func(key string, n *yaml.Node) {
		s, ok := d.scalar(key, n)
		if !ok {
			return
		}
		for _, unit := range units {
			digits, found := strings.CutSuffix(s, unit.name)
			v, err := strconv.ParseUint(digits, 10, 16)
			if size := v * unit.size; found && err == nil && size >= 1<<20 && size <= 1<<30 && size&(size-1) == 0 {
				*into = size
				return
			}
		}
		d.failf(n, "%s is none that PostgreSQL has: write what SHOW wal_segment_size says, from 1MB to 1GB", key)
	}
}
