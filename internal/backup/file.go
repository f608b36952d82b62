package backup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unicode/utf8"
)

// fileLimit bounds a file of facts; some thousand backups fit.
const fileLimit = 1 << 20

// lookFile reads what a job wrote of its backups and restores. The file is either
// JSON or in the text format of Prometheus, which its first character tells.
func lookFile(c Config) (Report, error) {
	data, err := readFacts(c.Path)
	if err != nil {
		return Report{}, err
	}
	f := facts{path: c.Path, data: data}
	return f.parse(c)
}

// readFacts reads a whole file. It opens without blocking, since a FIFO that nobody
// writes would hold it up for good.
func readFacts(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, &LookError{ReasonStart, fmt.Errorf("read facts of backups: %w", err)}
	}
	defer file.Close() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return nil, &LookError{ReasonStart, fmt.Errorf("read facts of backups: %w", err)}
	}
	if !info.Mode().IsRegular() {
		return nil, &LookError{ReasonStart, fmt.Errorf("read facts of backups: %s is no regular file", path)}
	}
	data, err := io.ReadAll(io.LimitReader(file, fileLimit+1))
	if err != nil {
		return nil, &LookError{ReasonStart, fmt.Errorf("read facts of backups: %w", err)}
	}
	if len(data) > fileLimit {
		return nil, &LookError{ReasonSize, fmt.Errorf("%s is larger than %d bytes: is it the right file?", path, fileLimit)}
	}
	return data, nil
}

// facts are what a file says.
type facts struct {
	path string
	data []byte

	tool, stanza, repository string
	toolLine, stanzaLine     int
	hasBackups               bool // though there may be none
	backups                  []Backup
	wal                      []WALRange
	proven                   time.Time
}

// parse reads the facts of the source.
func (f *facts) parse(c Config) (Report, error) {
	read := f.readText
	if bytes.HasPrefix(bytes.TrimLeft(f.data, " \t\r\n"), []byte("{")) {
		read = f.readJSON
	}
	if err := read(); err != nil {
		return Report{}, err
	}
	return f.report(c)
}

// halfWritten is what to do about a file that ends too early.
const halfWritten = "its writer should write a new file beside it and rename that"

// failf says what is wrong at a line; 0 is the file as a whole.
func (f *facts) failf(line int, format string, args ...any) error {
	where := f.path
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	return unclear("%s: %w", where, fmt.Errorf(format, args...))
}

// report checks what only the whole of the facts tells, and makes them a Report.
// The file may say whose it is, and then must say what the source does.
func (f *facts) report(c Config) (Report, error) {
	stanza := c.Stanza
	if stanza == "" {
		stanza = f.stanza
	}
	if f.stanza != "" && f.stanza != stanza {
		return Report{}, f.failf(f.stanzaLine, "stanza is not that of the source, %q: is it the file of another server?", stanza)
	}
	if f.tool != "" && f.tool != c.Label() {
		return Report{}, f.failf(f.toolLine, "tool is not that of the source, %q: write tool: %s there", c.Label(), f.tool)
	}
	if !f.hasBackups && f.proven.IsZero() {
		return Report{}, f.failf(0, "it tells neither of backups nor of a restore: see docs/backups.md")
	}
	r := Report{Tool: c.Label(), Stanza: stanza, RestoreProven: f.proven}
	if !f.hasBackups {
		return r, nil
	}
	repo := Repository{Name: f.repository, Status: StatusEmpty, Backups: f.backups, WAL: f.wal}
	for _, b := range f.backups {
		switch b.State {
		case Done:
			repo.Status = StatusOK
		case Running:
			repo.Running = true
			// Of several the first: the others may be what comes of its getting stuck.
			if repo.RunningSince.IsZero() || !b.Start.IsZero() && b.Start.Before(repo.RunningSince) {
				repo.RunningSince = b.Start
			}
		}
	}
	slices.SortStableFunc(repo.Backups, func(a, b Backup) int { return lastOf(a).Compare(lastOf(b)) })
	slices.SortFunc(repo.WAL, func(a, b WALRange) int { return cmp.Compare(a.Timeline, b.Timeline) })
	r.Repositories = []Repository{repo}
	return r, nil
}

// lastOf is when a backup ended, or as near to that as is known. One that runs will
// end after all others.
func lastOf(b Backup) time.Time {
	switch {
	case b.State == Running:
		return time.Unix(maxTime, 0)
	case b.Stop.IsZero():
		return b.Start
	default:
		return b.Stop
	}
}

// Times in a file are of this century. Others are milliseconds, or a 0 that stands
// for never.
const (
	minTime = 946684800  // 2000-01-01T00:00:00Z
	maxTime = 4102444800 // 2100-01-01T00:00:00Z
)

var errTime = errors.New("is no time: write 2026-01-31T04:05:06Z (date -u +%Y-%m-%dT%H:%M:%SZ) or Unix seconds (date +%s), " +
	"and leave out what has never been")

func unixTime(seconds float64) (time.Time, error) {
	if !(seconds >= minTime && seconds < maxTime) {
		return time.Time{}, errTime
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
}

func textTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() < minTime || t.Unix() >= maxTime {
		return time.Time{}, errTime
	}
	return t.UTC(), nil
}

// factWord is what a tool or repository of a file may be called, as these become labels.
var factWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$`)

// CheckTool rejects the names of tools that are sources of their own, with which a
// file that bore one would clash, and what is not fit for a label.
func CheckTool(name string) error {
	switch Kind(name) {
	case PgBackRest, Barman, WALG:
		return fmt.Errorf("tool %q is read by a source of that kind: name what wrote the file", name)
	}
	return checkWord("tool", name)
}

func checkWord(key, name string) error {
	if !factWord.MatchString(name) {
		return fmt.Errorf("%s is not made of up to 63 letters, digits, '.', '_', ':' and '-', the first a letter or digit", key)
	}
	return nil
}

// checkStanza bounds what may be anything else.
func checkStanza(name string) error {
	if name == "" || len(name) > 200 || !utf8.ValidString(name) {
		return errors.New("stanza is empty or longer than 200 bytes")
	}
	return nil
}
