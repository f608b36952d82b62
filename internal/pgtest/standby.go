package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	return nil
}
