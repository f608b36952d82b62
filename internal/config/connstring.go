package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// amendment is what is done to a connection string before it is used.
type amendment struct {
	// Bare says that the string is a URL that may come without its scheme.
	Bare bool
	// User, if not empty, takes the place of the string's own. It goes into the
	// string because passwords in pgpass files are found by user.
	User string
}

const scheme = "postgresql://"

var (
	urlScheme = regexp.MustCompile(`^postgres(ql)?://`)
	// several finds the next of a list of connection strings.
	severalURLs     = regexp.MustCompile(`,\s*postgres(ql)?://`)
	severalKeywords = regexp.MustCompile(`,\s*(host|hostaddr|port|user|password|dbname|sslmode)\s*=`)
	hasPassword     = regexp.MustCompile(`^postgres(ql)?://[^/?#]*:[^/?#]*@|\bpassword\s*=`)
)

// apply returns the connection string to use. Its errors quote nothing.
func (a amendment) apply(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", errors.New("the connection string is empty")
	}
	if a.Bare && !urlScheme.MatchString(s) {
		s = scheme + s
	}
	isURL := urlScheme.MatchString(s)
	if severalURLs.MatchString(s) || !isURL && severalKeywords.MatchString(s) {
		return "", errors.New("there are several connection strings: name each server as a target in the file of --config.file and ask /probe?target= for it")
	}
	if isURL {
		if err := unambiguous(s); err != nil {
			return "", err
		}
	}
	if a.User == "" {
		return s, nil
	}
	if !isURL {
		return s + " user=" + quote(a.User), nil
	}
	sep := "?"
	if strings.Contains(s, "?") {
		sep = "&"
	}
	return s + sep + "user=" + url.QueryEscape(a.User), nil
}

// unambiguous refuses a URL whose password holds a character that ends it: the
// rest of the password would become the host, the database or an option, which
// are shown.
func unambiguous(s string) error {
	fault := errors.New("the connection string has an @ or # where none belongs: write %40, %2F, %3F and %23 for the characters @ / ? # of a password, or give the password by itself")
	if strings.Contains(s, "#") {
		return fault
	}
	_, rest, _ := strings.Cut(s, "://")
	location, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(location, "/")
	if strings.Count(authority, "@") > 1 || strings.Contains(path, "@") {
		return fault
	}
	for option := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(option, "="); strings.Contains(key, "@") {
			return fault
		}
	}
	return nil
}

// source returns a Secret that is the connection string a file holds.
func source(path string, a amendment) postgres.Secret {
	read := postgres.File(path)
	return func(ctx context.Context) (string, error) {
		s, err := read(ctx)
		if err != nil {
			return "", err
		}
		return a.apply(s)
	}
}

// cure ends an error of the operating system about a file.
const cure = "the user pgvigil runs as must be able to read it"

// readConnString reads a connection string now, as source would.
func readConnString(path string, a amendment) (Hidden, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, cure)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	s, err := a.apply(line)
	return Hidden(s), err
}

// readable checks that a file could be read now.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %s", err, cure)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: name a file", path)
	}
	return nil
}

// keywords writes a connection string from values by keyword.
func keywords(parts map[string]string) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(parts)) {
		if parts[k] != "" {
			words = append(words, k+"="+quote(parts[k]))
		}
	}
	return strings.Join(words, " ")
}

// quote writes a value as libpq reads it.
func quote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}
