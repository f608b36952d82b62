package backup

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// form reads the nodes of a file, up to its first fault.
type form struct {
	*facts
	err error
}

// failf notes the first fault.
func (f *form) failf(n node, format string, args ...any) {
	if f.err == nil {
		f.err = f.facts.failf(n.line, format, args...)
	}
}

// readJSON reads a file in JSON.
func (f *facts) readJSON() error {
	root, err := f.readTree()
	if err != nil {
		return err
	}
	r := form{facts: f}
	var format float64
	keys := r.object("the file", root, []string{"format"}, map[string]entry{
		"format":     r.number(&format),
		"tool":       r.checked(&f.tool, CheckTool),
		"stanza":     r.checked(&f.stanza, checkStanza),
		"repository": r.checked(&f.repository, func(s string) error { return checkWord("repository", s) }),
		"backups": func(key string, n node) {
			f.hasBackups = true
			f.backups = r.backups(key, n)
		},
		"wal":            func(key string, n node) { f.wal = r.wal(key, n) },
		"restore_proven": r.time(&f.proven),
	})
	if format != 1 {
		r.failf(keys["format"], "format is not 1, which is all that is known")
	}
	f.toolLine, f.stanzaLine = keys["tool"].line, keys["stanza"].line
	for _, key := range []string{"repository", "wal"} {
		if n, given := keys[key]; given && !f.hasBackups {
			r.failf(n, "%s without backups: add \"backups\", [] if there are none", key)
		}
	}
	return r.err
}

// entry reads the value of a key.
type entry func(key string, n node)

// object reads an object and returns its values by key.
func (f *form) object(what string, n node, required []string, entries map[string]entry) map[string]node {
	values := map[string]node{}
	if n.kind != objectNode {
		f.failf(n, "%s is not an object in braces; it has the keys %s", what, keysOf(entries))
		return values
	}
	for i, key := range n.keys {
		read, ok := entries[key.text]
		_, twice := values[key.text]
		switch {
		case !ok && factWord.MatchString(key.text):
			f.failf(key, "unknown key %q in %s: it has the keys %s", key.text, what, keysOf(entries))
		case !ok:
			f.failf(key, "unknown key in %s: it has the keys %s", what, keysOf(entries))
		case twice:
			f.failf(key, "key %q for the second time in %s: remove one", key.text, what)
		default:
			values[key.text] = n.items[i]
			read(key.text, n.items[i])
		}
	}
	for _, key := range required {
		if _, ok := values[key]; !ok {
			f.failf(n, "%s has no %q: add it", what, key)
		}
	}
	return values
}

func keysOf(entries map[string]entry) string {
	return strings.Join(slices.Sorted(maps.Keys(entries)), ", ")
}

func (f *form) list(key string, n node) []node {
	if n.kind != arrayNode {
		f.failf(n, "%s is not a list in brackets", key)
	}
	return n.items
}

func (f *form) string(key string, n node) string {
	if n.kind != textNode || n.text == "" {
		f.failf(n, "%s is not a text in quotes", key)
	}
	return n.text
}

func (f *form) text(into *string) entry {
	return func(key string, n node) { *into = f.string(key, n) }
}

func (f *form) checked(into *string, check func(string) error) entry {
	return func(key string, n node) {
		*into = f.string(key, n)
		if err := check(*into); err != nil {
			f.failf(n, "%w", err)
		}
	}
}

func (f *form) flag(into *bool) entry {
	return func(key string, n node) {
		if n.kind != flagNode {
			f.failf(n, "%s is neither true nor false", key)
		}
		*into = n.text == "true"
	}
}

func (f *form) number(into *float64) entry {
	return func(key string, n node) {
		v, err := strconv.ParseFloat(n.text, 64)
		if n.kind != numberNode || err != nil || v < 0 || v != math.Trunc(v) {
			f.failf(n, "%s is not a whole number without quotes", key)
			return
		}
		*into = v
	}
}

func (f *form) time(into *time.Time) entry {
	return func(key string, n node) {
		var err error
		switch n.kind {
		case textNode:
			*into, err = textTime(n.text)
		case numberNode:
			var v float64
			if v, err = strconv.ParseFloat(n.text, 64); err == nil {
				*into, err = unixTime(v)
			}
		default:
			err = errTime
		}
		if err != nil {
			f.failf(n, "%s %w", key, errTime)
		}
	}
}

func (f *form) segment(into *Segment) entry {
	return func(key string, n node) {
		seg, ok := factSegment(n.text)
		if n.kind != textNode || !ok {
			f.failf(n, "%s is not the name of a WAL segment, 24 digits and letters from 0 to F in quotes", key)
			return
		}
		*into = seg
	}
}

// factSegment reads the name of a segment, which belongs to a timeline of at least 1.
func factSegment(name string) (Segment, bool) {
	if len(name) != 24 {
		return Segment{}, false
	}
	var part [3]uint32
	for i := range part {
		v, err := strconv.ParseUint(name[i*8:i*8+8], 16, 32)
		if err != nil {
			return Segment{}, false
		}
		part[i] = uint32(v)
	}
	return Segment{Timeline: part[0], Log: part[1], Seg: part[2]}, part[0] > 0
}

func (f *form) backups(key string, n node) []Backup {
	var all []Backup
	lines := map[string]node{}
	for _, item := range f.list(key, n) {
		b, label := f.backup(item)
		if first, twice := lines[b.Label]; twice {
			f.failf(label, "a second backup with the label of line %d: labels are unique", first.line)
		}
		lines[b.Label] = label
		all = append(all, b)
	}
	f.priors(all, lines)
	return all
}

// backup reads one backup, and returns where its label is.
func (f *form) backup(n node) (Backup, node) {
	none := spec.Absent()
	b := Backup{Database: none, Delta: none, Stored: none, StoredDelta: none}
	values := f.object("a backup", n, []string{"label", "type", "state"}, map[string]entry{
		"label":              f.text(&b.Label),
		"type":               f.backupType(&b.Type),
		"state":              f.state(&b.State),
		"start":              f.time(&b.Start),
		"stop":               f.time(&b.Stop),
		"prior":              f.text(&b.Prior),
		"start_wal":          f.segment(&b.StartWAL),
		"stop_wal":           f.segment(&b.StopWAL),
		"damaged":            f.flag(&b.Damaged),
		"database_bytes":     f.number(&b.Database),
		"delta_bytes":        f.number(&b.Delta),
		"stored_bytes":       f.number(&b.Stored),
		"stored_delta_bytes": f.number(&b.StoredDelta),
	})
	stop, stopped := values["stop"]
	prior, rests := values["prior"]
	switch {
	case b.State == Done && !stopped:
		f.failf(n, "a backup that is done has no \"stop\": add it")
	case b.State == Failed && b.Start.IsZero() && b.Stop.IsZero():
		// Whether it is the last one could not be told.
		f.failf(n, "a backup that failed has neither \"start\" nor \"stop\": add one")
	case b.State == Running && stopped:
		f.failf(stop, "stop of a backup that is running: remove it")
	case stopped && b.Stop.Before(b.Start):
		f.failf(stop, "stop is before start")
	case b.Type == Full && rests:
		f.failf(prior, "prior of a full backup, which rests on none: remove it")
	case b.Type != Full && b.State == Done && !rests:
		f.failf(n, "a backup that is %s has no \"prior\": add the label of the one it rests on", b.Type)
	case b.StopWAL.Timeline != 0 && isBefore(b.StopWAL, b.StartWAL):
		f.failf(values["stop_wal"], "stop_wal is before start_wal")
	}
	return b, values["label"]
}

// priors rejects backups that rest on each other in a circle. One that rests on a
// backup that is not there is a fact, of which somebody should know.
func (f *form) priors(all []Backup, lines map[string]node) {
	prior := map[string]string{}
	for _, b := range all {
		prior[b.Label] = b.Prior
	}
	walk := map[string]int{} // in which walk a label was first met
	for i := range all {
		for label := all[i].Label; label != ""; label = prior[label] {
			if met := walk[label]; met == i+1 {
				f.failf(lines[label], "the backup rests on itself: see its \"prior\"")
				return
			} else if met != 0 {
				break
			}
			walk[label] = i + 1
		}
	}
}

func (f *form) backupType(into *Type) entry {
	return func(key string, n node) {
		*into = Type(f.string(key, n))
		switch *into {
		case Full, Differential, Incremental:
		default:
			f.failf(n, "%s is not one of full, differential, incremental", key)
		}
	}
}

func (f *form) state(into *State) entry {
	return func(key string, n node) {
		states := map[string]State{"done": Done, "failed": Failed, "running": Running}
		state, ok := states[f.string(key, n)]
		if !ok {
			f.failf(n, "%s is not one of done, failed, running", key)
		}
		*into = state
	}
}
