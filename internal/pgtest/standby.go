package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// makeSlot makes the slot of a standby on its upstream, unless an earlier Start with the same Dir has made it. (It
// reserves WAL at once, and a slot on a standby does so without a session on the primary.)
func (s *Server) makeSlot(ctx context.Context) error {
	_, err := s.opt.StandbyOf.query(ctx, "postgres", fmt.Sprintf(
		`SELECT pg_create_physical_replication_slot('%[1]s', true)
		  WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '%[1]s')`, s.name))
	if err != nil {
		return fmt.Errorf("create slot %s: %w", s.name, err)
	}
	return nil
}

func (s *Server) awaitStreaming(ctx context.Context) error {
	for {
		state, err := s.opt.StandbyOf.query(ctx, "postgres",
			"SELECT state FROM pg_stat_replication WHERE application_name = '"+s.name+"'")
		if err != nil {
			return fmt.Errorf("look at upstream: %w", err)
		}
		if state == "streaming" {
			return nil
		}
		if log := s.Log(); !s.proc.running() || strings.Contains(log, "has already been removed") {
			return fmt.Errorf("standby does not stream; server log:\n%s", tail(log, 40))
		}
		if cause := pause(ctx); cause != nil {
			return fmt.Errorf("wait for standby to stream, state is %q: %w", state, cause)
		}
	}
}

// Promote makes a primary of a standby and returns when it is one.
func (s *Server) Promote(ctx context.Context) error {
	promoted, err := s.query(ctx, "postgres", "SELECT pg_promote()")
	if err == nil && promoted != "t" {
		err = errors.New("pg_promote gave up")
	}
	if err != nil {
		return fmt.Errorf("pgtest: promote server %d: %w", s.Major, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.settings() // some were its upstream's
	delete(set, "primary_conninfo")
	delete(set, "primary_slot_name")
	s.opt.Settings, s.opt.StandbyOf = set, nil
	return nil
}

// Follow makes the server a standby of another, whatever it was before: its data are removed, and the other's copied
// as a base backup does. It keeps its port. link is as in Options. It returns when the standby streams.
func (s *Server) Follow(ctx context.Context, up *Server, link int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.follows(ctx, up, link); err != nil {
		return fmt.Errorf("pgtest: make server %d a standby: %w", s.Major, err)
	}
	return nil
}

func (s *Server) follows(ctx context.Context, up *Server, link int) error {
	if s.proc.running() {
		if err := s.proc.halt(); err != nil {
			return err
		}
	}
	if s.named != up {
		s.named, s.name = up, fmt.Sprintf("standby%d", up.standbys.Add(1))
	}
	s.opt.StandbyOf, s.opt.Link, s.opt.InitDB = up, link, up.opt.InitDB
	if err := s.copyFrom(ctx, up); err != nil {
		return fmt.Errorf("copy the upstream: %w", err)
	}
	if err := writeFile(s.file("standby.signal"), ""); err != nil {
		return err
	}
	if err := s.makeSlot(ctx); err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	return s.awaitStreaming(ctx)
}

// copyFrom makes a base backup of a running server in place of the data. PostgreSQL's own program for that is not among
// the binaries.
func (s *Server) copyFrom(ctx context.Context, up *Server) (err error) {
	conn, err := pgx.Connect(ctx, up.DSN(Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	start, stop := "SELECT pg_backup_start('standby', true)", "SELECT labelfile FROM pg_backup_stop(false)"
	if up.Major < 15 {
		start, stop = "SELECT pg_start_backup('standby', true, false)", "SELECT labelfile FROM pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, start); err != nil {
		return err
	}
	if err := os.RemoveAll(s.file("")); err != nil {
		return err
	}
	// Files that vanish meanwhile are in the WAL; cp says so and goes on.
	if said, err := run(ctx, "", "cp", "-a", up.file(""), s.file("")); err != nil && !strings.Contains(err.Error(), "No such file") {
		return fmt.Errorf("%w: %s", err, said)
	}
	for _, leftover := range []string{"postmaster.pid", "standby.signal", "postgresql.auto.conf", "pg_replslot/*", "pg_wal/*"} {
		paths, err := filepath.Glob(s.file(leftover))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	if err := makeDir(s.file("pg_wal/archive_status")); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, stop).Scan(&label); err != nil {
		return err
	}
	return writeFile(s.file("backup_label"), label)
}
