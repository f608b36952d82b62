package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// Load reads a configuration file and checks all that can be checked without a
// connect. flags are the names collectors may be switched by. The error joins
// everything that is wrong.
func Load(path string, flags []string) (File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read the configuration: %w: %s", err, cure)
	}
	return parse(path, data, flags)
}

func parse(path string, data []byte, flags []string) (File, error) {
	d := decoder{path: path, flags: flags}
	var file File
	var plain *yaml.Node
	var backups []*writtenBackup
	if root := d.document(data); root != nil {
		d.mapping(root, "the file", map[string]field{
			"targets": func(key string, n *yaml.Node) {
				for _, item := range d.sequence(key, n) {
					t, secret := d.target(item)
					file.Targets = append(file.Targets, t)
					if plain == nil {
						plain = secret
					}
				}
				d.unique(n)
				d.pages(file.Targets, n)
			},
			"backups": func(key string, n *yaml.Node) {
				for _, item := range d.sequence(key, n) {
					backups = append(backups, d.backup(item))
				}
			},
			"readiness": func(_ string, n *yaml.Node) { file.Readiness = d.readiness(n) },
		})
	}
	file.Backups = d.backups(backups, file.Targets)
	d.acceptances(file.Targets)
	if len(d.errs) > 0 {
		return File{}, errors.Join(d.errs...)
	}
	if plain != nil && worldReadable(path) {
		file.Warnings = append(file.Warnings, fmt.Sprintf(
			"%s:%d: anybody on this machine can read the password here: chmod o-r the file, or use password_file", path, plain.Line))
	}
	for _, w := range backups {
		if at := w.has["environment"]; at != nil && worldReadable(path) {
			file.Warnings = append(file.Warnings, fmt.Sprintf(
				"%s:%d: anybody on this machine can read the environment here: chmod o-r the file", path, at.Line))
		}
	}
	return file, nil
}

// unique checks the names of targets.
func (d *decoder) unique(n *yaml.Node) {
	lines := map[string]int{}
	for _, item := range n.Content {
		item = follow(item)
		for i := 0; i+1 < len(item.Content); i += 2 {
			if item.Content[i].Value != "name" {
				continue
			}
			name := follow(item.Content[i+1])
			if line, ok := lines[name.Value]; ok && word.MatchString(name.Value) {
				d.failf(name, "a target %q stands in line %d already: give each its own name", name.Value, line)
			}
			lines[name.Value] = name.Line
		}
	}
}

// written is a target as the file has it.
type written struct {
	name, page             string
	kind                   Kind
	user, dsn, dsnFile     string
	parts                  map[string]string // of the connection string, by keyword
	password, passwordFile string
	passwordCommand        []string
	collectors             Collectors
	databases              Databases
	sessions               Sessions
	patroni                patroni.Config
	has                    map[string]*yaml.Node // values by key
}

// target reads one target and returns the node of a password that stands in the
// file itself, if there is one.
func (d *decoder) target(n *yaml.Node) (t Target, plain *yaml.Node) {
	before := len(d.errs)
	w := d.written(n)
	// What follows on a fault would only say the same in other words.
	if len(d.errs) == before {
		d.checkName(n, w)
		d.checkKind(w)
		d.checkChoices(n, w)
		d.checkPatroni(w)
	}
	if len(d.errs) > before {
		return Target{}, nil
	}
	t = Target{Name: w.name, Kind: w.kind, Page: w.page, Collectors: w.collectors, Databases: w.databases, Sessions: w.sessions, Patroni: w.patroni}
	t.Conn = Conn{Password: Hidden(w.password), PasswordFile: w.passwordFile, PasswordCommand: w.passwordCommand}
	at, err := d.connString(w, &t.Conn)
	if at == nil {
		at = n
	}
	if err == nil {
		err = t.Conn.Validate()
	}
	if err != nil {
		d.failf(at, "target %q: %w", t.Name, err)
	}
	plain = w.has["password"]
	if plain == nil && t.Conn.File == "" && hasPassword.MatchString(string(t.Conn.String)) {
		plain = w.has["dsn"]
	}
	return t, plain
}

// written reads the mapping.
func (d *decoder) written(n *yaml.Node) *written {
	w := &written{parts: map[string]string{}}
	part := func(read func(*string) field) field {
		return func(key string, n *yaml.Node) {
			var s string
			read(&s)(key, n)
			w.parts[key] = s
		}
	}
	w.has = d.mapping(n, "a target", map[string]field{
		"name":     d.text(&w.name),
		"kind":     d.kind(&w.kind),
		"page":     d.text(&w.page),
		"user":     d.text(&w.user),
		"dsn":      d.text(&w.dsn),
		"dsn_file": d.secretFile(&w.dsnFile),

		"host":        part(d.text),
		"port":        part(d.text),
		"dbname":      part(d.text),
		"service":     part(d.text),
		"sslmode":     part(d.text),
		"sslrootcert": part(d.certificate),
		"sslcert":     part(d.file),
		"sslkey":      part(d.file),
		"passfile":    part(d.secretFile),

		"password":         d.text(&w.password),
		"password_file":    d.secretFile(&w.passwordFile),
		"password_command": d.command(&w.passwordCommand),

		"collectors": func(_ string, n *yaml.Node) {
			d.mapping(n, "collectors", map[string]field{
				"enable": d.collectors(&w.collectors.Enable), "disable": d.collectors(&w.collectors.Disable),
			})
		},
		"databases": func(_ string, n *yaml.Node) {
			d.mapping(n, "databases", map[string]field{
				"include": d.patterns(&w.databases.Include), "exclude": d.patterns(&w.databases.Exclude),
			})
		},
		"sessions": func(_ string, n *yaml.Node) {
			d.mapping(n, "sessions", map[string]field{
				"max":     d.number(&w.sessions.Max, postgres.MinSessions, "one session lasts, and slow collectors need another"),
				"max_age": d.duration(&w.sessions.MaxAge),
			})
		},
		"patroni":    d.memberURL(&w.patroni.URL),
		"patroni_ca": d.certificates(&w.patroni.CAFile),
	})
	return w
}

// certificate reads the name of a file, or libpq's word for the machine's own
// certificates.
func (d *decoder) certificate(into *string) field {
	return func(key string, n *yaml.Node) {
		if n.Value == "system" {
			*into = n.Value
			return
		}
		d.file(into)(key, n)
	}
}

// command reads a program and its arguments. A program with a slash is a file,
// one without is looked for in PATH.
func (d *decoder) command(into *[]string) field {
	return func(key string, n *yaml.Node) {
		d.texts(into)(key, n)
		argv := *into
		if len(argv) == 0 {
			if follow(n).Kind == yaml.SequenceNode && len(follow(n).Content) == 0 {
				d.failf(n, "%s is empty: write [program, argument]", key)
			}
			return
		}
		if strings.ContainsRune(argv[0], filepath.Separator) {
			argv[0] = d.locate(argv[0])
		}
		d.runnable(key, n, argv[0])
	}
}

// runnable checks that a program is there.
func (d *decoder) runnable(key string, n *yaml.Node, program string) {
	if _, err := exec.LookPath(program); err != nil {
		d.failf(n, "%s: the program cannot be run: %w", key, err)
	}
}

// checkName checks what a target is called.
func (d *decoder) checkName(n *yaml.Node, w *written) {
	switch at := w.has["name"]; {
	case at == nil:
		d.failf(follow(n), "a target has no name: give the name that /probe?target= asks for")
	case w.name != "" && !word.MatchString(w.name):
		d.failf(at, "name: use letters, digits, dots, dashes, underscores and colons, at most 63")
	}
}

// checkChoices checks that of several ways to say a thing one was taken.
func (d *decoder) checkChoices(n *yaml.Node, w *written) {
	d.atMostOne(w, "password", "password_file", "password_command")
	d.atMostOne(w, "dsn", "dsn_file")
	for _, whole := range []string{"dsn", "dsn_file"} {
		for _, part := range slices.Sorted(maps.Keys(w.parts)) {
			if w.has[whole] != nil {
				d.failf(w.has[part], "%s and %s are both given: put %s into the connection string, or use separate keys only", whole, part, part)
			}
		}
	}
	if w.has["name"] != nil && w.has["dsn"] == nil && w.has["dsn_file"] == nil && w.has["host"] == nil && w.has["service"] == nil {
		d.failf(follow(n), "a target has no server: give host, service, dsn or dsn_file")
	}
	for _, name := range w.collectors.Enable {
		if slices.Contains(w.collectors.Disable, name) {
			d.failf(w.has["collectors"], "collector %q is enabled and disabled: remove one", name)
		}
	}
}

func (d *decoder) atMostOne(w *written, keys ...string) {
	var first string
	for _, key := range keys {
		switch {
		case w.has[key] == nil:
		case first == "":
			first = key
		default:
			d.failf(w.has[key], "%s and %s are both given: remove one", first, key)
		}
	}
}

// defaultDatabase is the one that always is there; libpq's default, a database
// named as the user, rarely is.
func defaultDatabase(k Kind) string {
	if k == PgBouncer {
		return consoleDatabase
	}
	return "postgres"
}

// connString sets the connection string of a target and returns the node to
// blame if it is wrong.
func (d *decoder) connString(w *written, conn *Conn) (*yaml.Node, error) {
	conn.amend.User = w.user
	if w.kind == PgBouncer {
		conn.Database = consoleDatabase
	}
	switch {
	case w.dsnFile != "":
		conn.File = w.dsnFile
		var err error
		conn.String, err = readConnString(conn.File, conn.amend)
		return w.has["dsn_file"], err
	case w.dsn != "":
		s, err := conn.amend.apply(w.dsn)
		conn.String, conn.amend = Hidden(s), amendment{}
		return w.has["dsn"], err
	}
	conn.amend = amendment{}
	w.parts["user"] = w.user
	if w.parts["dbname"] == "" && w.parts["service"] == "" {
		w.parts["dbname"] = defaultDatabase(w.kind)
	}
	conn.String = Hidden(keywords(w.parts))
	return w.has["host"], nil
}
