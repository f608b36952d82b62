package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// decoder reads YAML nodes by hand. The library's strict decoding names Go types
// and quotes values, which here may be passwords; and it stops at the first fault
// of a mapping.
type decoder struct {
	path  string // of the file, as it was given
	flags []string
	errs  []error
	// acceptedOn are the targets of acceptances, which are known to be there or not when
	// all of the file has been read.
	acceptedOn []*yaml.Node
}

// failf notes what is wrong at a node.
func (d *decoder) failf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %w", d.path, n.Line, fmt.Errorf(format, args...)))
}

// document returns the root of the only document, nil if the file is empty.
func (d *decoder) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root, more yaml.Node
	err := dec.Decode(&root)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if err = dec.Decode(&more); err == nil {
			d.failf(&more, "a second document begins: only one is read, remove the line ---")
			return nil
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		d.errs = append(d.errs, d.syntax(err))
		return nil
	}
	return root.Content[0]
}

var (
	yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)
	// Some of the library's messages quote the file.
	yamlQuotes = regexp.MustCompile("['`\"]")
)

// syntax says where YAML itself is broken, and why if that quotes nothing.
func (d *decoder) syntax(err error) error {
	where, why := d.path, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		where += ":" + m[1]
		why = strings.TrimPrefix(err.Error(), m[0])
	}
	if yamlQuotes.MatchString(why) {
		why = "a value is read as YAML syntax"
	}
	return fmt.Errorf("%s: not YAML: %s; put values with special characters between single quotes", where, why)
}

// field reads the value of a key.
type field func(key string, n *yaml.Node)

// word is a key or name that can be shown: what is not one may be a secret in the wrong place.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$`)

// mapping reads a mapping and returns the values it has, by key.
func (d *decoder) mapping(n *yaml.Node, what string, fields map[string]field) map[string]*yaml.Node {
	n = follow(n)
	seen := map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		d.failf(n, "%s is not written as key: value; it has the keys %s", what, known(fields))
		return seen
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], follow(n.Content[i+1])
		read, ok := fields[key.Value]
		switch {
		case !ok && word.MatchString(key.Value):
			d.failf(key, "unknown key %q in %s: it has the keys %s", key.Value, what, known(fields))
		case !ok:
			d.failf(key, "unknown key in %s: it has the keys %s, each followed by a colon and a space", what, known(fields))
		case seen[key.Value] != nil:
			d.failf(key, "key %q for the second time in %s: remove one", key.Value, what)
		default:
			seen[key.Value] = value
			read(key.Value, value)
		}
	}
	return seen
}

func known(fields map[string]field) string {
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// follow returns the node an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// sequence reads a list and returns its items.
func (d *decoder) sequence(key string, n *yaml.Node) []*yaml.Node {
	n = follow(n)
	if n.Kind != yaml.SequenceNode {
		d.failf(n, "%s is not a list: write [a, b], or a line beginning with a dash for each", key)
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		items[i] = follow(item)
	}
	return items
}

// scalar reads one value as it is written, whatever YAML takes it for: a password
// may look like a number.
func (d *decoder) scalar(key string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.failf(n, "%s is not one value: put a value with special characters between single quotes", key)
		return "", false
	}
	if n.Tag == "!!null" || n.Value == "" {
		d.failf(n, "%s is empty: give a value or remove the key", key)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) text(into *string) field {
	return func(key string, n *yaml.Node) { *into, _ = d.scalar(key, n) }
}

func (d *decoder) texts(into *[]string) field {
	return func(key string, n *yaml.Node) {
		for _, item := range d.sequence(key, n) {
			if s, ok := d.scalar("an item of "+key, item); ok {
				*into = append(*into, s)
			}
		}
	}
}

// file reads the name of a file, which is relative to the directory of the
// configuration file.
func (d *decoder) file(into *string) field {
	return func(key string, n *yaml.Node) {
		if s, ok := d.scalar(key, n); ok {
			*into = d.locate(s)
		}
	}
}

func (d *decoder) locate(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.path), path)
}

// secretFile reads the name of a file that must be readable now.
func (d *decoder) secretFile(into *string) field {
	return func(key string, n *yaml.Node) {
		d.file(into)(key, n)
		if *into == "" {
			return
		}
		if err := readable(*into); err != nil {
			d.failf(n, "%s: %w", key, err)
		}
	}
}

func (d *decoder) number(into *int, least int, why string) field {
	return func(key string, n *yaml.Node) {
		s, ok := d.scalar(key, n)
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < least {
			d.failf(n, "%s is not a number of at least %d: %s", key, least, why)
			return
		}
		*into = v
	}
}

func (d *decoder) duration(into *time.Duration) field {
	return func(key string, n *yaml.Node) {
		s, ok := d.scalar(key, n)
		if !ok {
			return
		}
		v, err := ParseDuration(s)
		if err != nil || v <= 0 {
			d.failf(n, "%s is not a duration: write a number and a unit, such as 30s, 15m, 1h or 1d", key)
			return
		}
		*into = v
	}
}

// ParseDuration reads a duration as Go writes it (1.5h) or as Prometheus does (1d).
func ParseDuration(s string) (time.Duration, error) {
	if v, err := time.ParseDuration(s); err == nil {
		return v, nil
	}
	v, err := model.ParseDuration(s)
	return time.Duration(v), err
}

// patterns reads regular expressions.
func (d *decoder) patterns(into *[]string) field {
	return func(key string, n *yaml.Node) {
		for _, item := range d.sequence(key, n) {
			s, ok := d.scalar("an item of "+key, item)
			if !ok {
				continue
			}
			if _, err := compile([]string{s}); err != nil {
				d.failf(item, "%s: %w", key, err)
				continue
			}
			*into = append(*into, s)
		}
	}
}

// collectors reads names of collectors.
func (d *decoder) collectors(into *[]string) field {
	return func(key string, n *yaml.Node) {
		for _, item := range d.sequence(key, n) {
			s, ok := d.scalar("an item of "+key, item)
			switch {
			case !ok:
			case slices.Contains(d.flags, s):
				*into = append(*into, s)
			case word.MatchString(s):
				d.failf(item, "%s: unknown collector %q: see pgvigil --help for the names", key, s)
			default:
				d.failf(item, "%s: unknown collector: see pgvigil --help for the names", key)
			}
		}
	}
}

// worldReadable reports whether anybody on the machine may read the file.
func worldReadable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}
