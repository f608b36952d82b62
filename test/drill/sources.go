package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// A source of backups on the page of the ledger's exporter.
type source int

const (
	// pgBackRestSource is the real one.
	pgBackRestSource source = iota
	// dumpSource is a file such as a nightly job writes. Real backups cannot be made to
	// be of yesterday.
	dumpSource
	// restoreSource is a file such as a restore test writes.
	restoreSource
)

// backups is a configuration of these sources.
func (s *scene) backups(sources ...source) string {
	var text strings.Builder
	text.WriteString("backups:\n")
	for _, source := range sources {
		switch source {
		case pgBackRestSource:
			fmt.Fprintf(&text, "  - {kind: pgbackrest, stanza: %s, page: /metrics, interval: 8s, timeout: 7s, wal_interval: 8s, command: [%q, %q]}\n",
				pgtest.Stanza, s.backup.Command()[0], s.backup.Command()[1])
		case dumpSource:
			fmt.Fprintf(&text, "  - {kind: file, tool: dump, stanza: %s, page: /metrics, interval: 2s, path: %q}\n", pgtest.Stanza, s.fileOf(source))
		case restoreSource:
			fmt.Fprintf(&text, "  - {kind: file, tool: restore-test, stanza: %s, page: /metrics, interval: 2s, path: %q}\n", pgtest.Stanza, s.fileOf(source))
		}
	}
	return text.String()
}

// fileOf is the file that a source reads.
func (s *scene) fileOf(f source) string {
	return filepath.Join(s.dir, map[source]string{dumpSource: "dump.json", restoreSource: "restore.json"}[f])
}

// tellDump has the job tell of one good backup that ended then.
func (s *scene) tellDump(at time.Time) error {
	return tell(s.fileOf(dumpSource), map[string]any{"backups": []any{map[string]any{
		"label": "last", "type": "full", "state": "done", "start": at.Add(-5 * time.Second).Unix(), "stop": at.Unix(),
	}}})
}

// tellRestore has the restore test tell that it last succeeded then.
func (s *scene) tellRestore(at time.Time) error {
	return tell(s.fileOf(restoreSource), map[string]any{"restore_proven": at.Unix()})
}

// tell writes facts of backups in one go.
func tell(file string, facts map[string]any) error {
	facts["format"] = 1
	text, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// reconfigure gives a member's exporter another configuration and has it loaded. Until
// the fault is healed refused says whether the exporter must refuse it.
func (s *scene) reconfigure(ctx context.Context, a *attempt, m *member, text string, refused bool) error {
	before, err := os.ReadFile(s.configFile(m))
	if err != nil {
		return err
	}
	a.heal(func(ctx context.Context) error {
		return errors.Join(s.configure(m, string(before)), m.reload(ctx))
	})
	if err := s.configure(m, text); err != nil {
		return err
	}
	err = m.reload(ctx)
	if refused == (err != nil) {
		return nil
	}
	return fmt.Errorf("load %q, to be refused %v: %w", text, refused, err)
}

// reload has the exporter load its configuration.
func (m *member) reload(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.address+"/-/reload", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reload the exporter of %s: %s", m.name, resp.Status)
	}
	return nil
}
