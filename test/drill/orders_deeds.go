package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// mendLink has a link mended when the fault is healed.
func (a *attempt) mendLink(k *link) {
	a.heal(func(context.Context) error {
		k.mend()
		return nil
	})
}

// set changes a setting until the fault is healed.
func (a *attempt) set(ctx context.Context, m *member, name, value string) error {
	a.heal(func(ctx context.Context) error {
		return m.sql(ctx, "ALTER SYSTEM RESET "+name, "SELECT pg_reload_conf()")
	})
	return m.sql(ctx, fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value), "SELECT pg_reload_conf()")
}

// lockAccounts conflicts on a standby with whoever has read the table.
const lockAccounts = "BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE; COMMIT"

// Slots that nobody uses.
const (
	physicalSlot = "pg_create_physical_replication_slot('left_behind', true)"
	logicalSlot  = "pg_create_logical_replication_slot('left_behind', 'test_decoding')"
)

// slot makes one that goes when the fault is healed.
func (a *attempt) slot(ctx context.Context, m *member, create string) error {
	if err := m.sql(ctx, "SELECT "+create); err != nil {
		return err
	}
	a.heal(func(ctx context.Context) error {
		return m.sql(ctx, "SELECT pg_drop_replication_slot('left_behind')")
	})
	return nil
}

// fillSlot has a slot that nobody uses keep so many MiB of those that it may.
func (s *scene) fillSlot(ctx context.Context, a *attempt, create string, may, keeps int) error {
	if err := a.set(ctx, s.orders[0], "max_slot_wal_keep_size", strconv.Itoa(may)+"MB"); err != nil {
		return err
	}
	if err := a.slot(ctx, s.orders[0], create); err != nil {
		return err
	}
	return s.load(ctx, keeps)
}

// load writes so many MiB of WAL, no faster than standbys take it: else their slots
// would be those that keep too much.
func (s *scene) load(ctx context.Context, mib int) error {
	for range mib / 8 {
		if err := s.orders[0].flood(ctx, 8); err != nil {
			return err
		}
		if err := s.carried(ctx); err != nil {
			return err
		}
	}
	return nil
}

// loseSlot has a slot keep more than it may, so that the next checkpoint gives it up.
func (s *scene) loseSlot(ctx context.Context, a *attempt, create string) error {
	if err := s.fillSlot(ctx, a, create, 32, 96); err != nil {
		return err
	}
	return s.orders[0].sql(ctx, "CHECKPOINT")
}

// flood writes so many MiB of WAL.
func (m *member) flood(ctx context.Context, mib int) error {
	return m.sql(ctx, fmt.Sprintf("SELECT count(pg_logical_emit_message(false, 'drill', repeat('x', 1048576))) FROM generate_series(1, %d)", mib))
}

// trickle writes 2 MiB of WAL a second.
func (m *member) trickle(ctx context.Context) {
	for pause(ctx, time.Second) == nil {
		_ = m.flood(ctx, 2) // or the next time
	}
}

// carried waits until both standbys have replayed what there is.
func (s *scene) carried(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	end, err := s.orders[0].value(ctx, "SELECT pg_current_wal_lsn()::text")
	if err != nil {
		return err
	}
	for _, m := range s.orders[1:] {
		for {
			there, err := m.value(ctx, "SELECT (pg_last_wal_replay_lsn() >= '"+end+"')::text")
			if err != nil {
				return err
			}
			if there == "true" {
				break
			}
			if err := pause(ctx, look); err != nil {
				return fmt.Errorf("wait until %s has replayed %s: %w", m.name, end, err)
			}
		}
	}
	return nil
}

// value is what a query as the superuser gives.
func (m *member) value(ctx context.Context, query string) (value string, err error) {
	conn, err := pgx.Connect(ctx, m.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return "", fmt.Errorf("connect to %s: %w", m.name, err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := conn.QueryRow(ctx, query).Scan(&value); err != nil {
		return "", fmt.Errorf("%s: %s: %w", m.name, query, err)
	}
	return value, nil
}

// baseBackup takes one as pg_basebackup does, in some ten seconds, and throws it away.
func (m *member) baseBackup(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, m.DSN(pgtest.Superuser, "postgres")+"&replication=true")
	if err != nil {
		return fmt.Errorf("connect to %s: %w", m.name, err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.PgConn().CopyTo(ctx, io.Discard, "BASE_BACKUP (LABEL 'drill', CHECKPOINT 'fast', WAIT false, MAX_RATE 4096)")
	return err
}

// handOver ends a primary cleanly, promotes its standby, and makes the one that was
// primary a standby of the new one, over a link if it is not 0.
func handOver(ctx context.Context, from, to *member, link int) error {
	if err := from.Signal(syscall.SIGINT); err != nil {
		return err
	}
	if err := from.gone(ctx); err != nil {
		return err
	}
	if err := to.Promote(ctx); err != nil {
		return err
	}
	return from.Follow(ctx, to.Server, link)
}

// handBack makes orders-1 primary again after orders-2, and the others what they were.
func (s *scene) handBack(ctx context.Context) error {
	if err := handOver(ctx, s.orders[1], s.orders[0], s.links[0].port()); err != nil {
		return err
	}
	// The slot that it had is gone with the data.
	return s.orders[2].Follow(ctx, s.orders[1].Server, s.links[1].port())
}

// gone waits until nobody listens where a member was.
func (m *member) gone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(m.Host(), strconv.Itoa(m.Port())))
		if err != nil {
			return context.Cause(ctx)
		}
		conn.Close()
		if err := pause(ctx, look); err != nil {
			return fmt.Errorf("wait until %s has ended: %w", m.name, err)
		}
	}
}
