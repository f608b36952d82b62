package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// ordersDrills break a primary, its standby, and the standby of that one. Drills that
// change roles, or restart servers, are apart from each other by some minutes: together
// they are a failover that flaps, or a loop of crashes.
func ordersDrills() []drill {
	return []drill{
		{
			name: "primary-down", lane: orders, short: true,
			does: "the primary dies and nobody is promoted",
			expect: []expected{
				{"PostgresDown", "critical", labels{"instance": "orders-1"}},
				{"PostgresNoPrimary", "critical", labels{"pg_cluster": "orders"}},
			},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(s.orders[0].Restart)
				return s.orders[0].Signal(syscall.SIGQUIT)
			},
		},
		{
			name: "standby-down", lane: orders,
			does:   "a standby dies",
			expect: []expected{{"PostgresDown", "critical", labels{"instance": "orders-3"}}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(s.orders[2].Restart)
				return s.orders[2].Signal(syscall.SIGQUIT)
			},
		},
		{
			name: "idle", lane: orders,
			does: "an hour passes in which nothing is written",
			hold: 2 * time.Minute,
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error {
					s.orders[0].idle.Store(false)
					return nil
				})
				s.orders[0].idle.Store(true)
				return nil
			},
		},
		{
			name: "primary-demoted", lane: orders,
			does:   "the primary comes back as a standby, and nobody is promoted",
			expect: []expected{{"PostgresNoPrimary", "critical", labels{"pg_cluster": "orders"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				primary := s.orders[0]
				if err := os.WriteFile(filepath.Join(primary.Dir(), "standby.signal"), nil, 0o600); err != nil {
					return err
				}
				a.heal(primary.Promote)
				return primary.Restart(ctx)
			},
		},
		{
			name: "replay-paused", lane: orders,
			does:   "replay is paused on a standby",
			expect: []expected{{"PostgresReplayPaused", "info", labels{"instance": "orders-2"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(ctx context.Context) error { return s.orders[1].sql(ctx, "SELECT pg_wal_replay_resume()") })
				return s.orders[1].sql(ctx, "SELECT pg_wal_replay_pause()")
			},
		},
		{
			name: "standby-rebuilt", lane: orders,
			does: "a standby is built anew",
			hold: 15 * time.Second,
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				return s.orders[2].Follow(ctx, s.orders[1].Server, s.links[1].port())
			},
		},
		{
			name: "replay-held", lane: orders, short: true,
			does:   "a query on a standby holds replay up",
			expect: []expected{{"PostgresReplicationLagTime", "warning", labels{"instance": "orders-2"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := a.set(ctx, s.orders[1], "max_standby_streaming_delay", "-1"); err != nil {
					return err
				}
				if err := a.transaction(ctx, s.orders[1], "SELECT count(*) FROM accounts"); err != nil {
					return err
				}
				return s.orders[0].sql(ctx, lockAccounts)
			},
		},
		{
			name: "link-cut", lane: orders, short: true,
			does: "the link of the only standby is cut",
			expect: []expected{
				{"PostgresNoStreamingReplica", "critical", labels{"instance": "orders-1"}},
				{"PostgresReplicaDisconnected", "warning", labels{"instance": "orders-2"}},
			},
			do: func(_ context.Context, s *scene, a *attempt) error {
				s.links[0].cut()
				a.mendLink(s.links[0])
				return nil
			},
		},
		{
			name: "switchover", lane: orders,
			does: "primary and standby change places as planned, and back",
			hold: 15 * time.Second,
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				if err := handOver(ctx, s.orders[0], s.orders[1], 0); err != nil {
					return err
				}
				if err := pause(ctx, 10*time.Second); err != nil {
					return err
				}
				return s.handBack(ctx)
			},
		},
		{
			name: "cascade-cut", lane: orders,
			does:   "the link to the standby of a standby is cut",
			expect: []expected{{"PostgresReplicaDisconnected", "warning", labels{"instance": "orders-3"}}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				s.links[1].cut()
				a.mendLink(s.links[1])
				return nil
			},
		},
		{
			name: "link-silent", lane: orders,
			does:   "nothing comes over a link any more, and wal_receiver_timeout is off",
			expect: []expected{{"PostgresReplicaDisconnected", "warning", labels{"instance": "orders-3"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := a.set(ctx, s.orders[2], "wal_receiver_timeout", "0"); err != nil {
					return err
				}
				s.links[1].silence()
				a.mendLink(s.links[1])
				return nil
			},
		},
		{
			name: "primary-hangs", lane: orders,
			does: "the primary stops in its tracks",
			expect: []expected{
				{"PostgresDown", "critical", labels{"instance": "orders-1"}},
				{"PostgresNoPrimary", "critical", labels{"pg_cluster": "orders"}},
			},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.orders[0].Thaw() })
				return s.orders[0].Freeze()
			},
		},
		{
			name: "cluster-down", lane: orders, short: true,
			does:    "all servers of a cluster die",
			expect:  []expected{{"PostgresClusterDown", "critical", labels{"pg_cluster": "orders"}}},
			follows: []string{"PostgresDown"},
			do: func(_ context.Context, s *scene, a *attempt) error {
				for _, m := range []*member{s.orders[2], s.orders[1], s.orders[0]} { // started the other way round
					a.heal(m.Restart)
					if err := m.Signal(syscall.SIGQUIT); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name: "standby-hangs", lane: orders,
			does: "a standby stops in its tracks, connected as it is",
			expect: []expected{
				{"PostgresDown", "critical", labels{"instance": "orders-2"}},
				{"PostgresNoStreamingReplica", "critical", labels{"instance": "orders-1"}},
				{"PostgresReplicaDisconnected", "warning", labels{"instance": "orders-3"}},
			},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.orders[1].Thaw() })
				return s.orders[1].Freeze()
			},
		},
		{
			name: "replication-conflicts", lane: orders, lingers: true,
			does:   "replay cancels a dozen queries on a standby",
			expect: []expected{{"PostgresReplicationConflicts", "info", labels{"instance": "orders-2"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := a.set(ctx, s.orders[1], "max_standby_streaming_delay", "0"); err != nil {
					return err
				}
				for range 12 {
					if err := a.transaction(ctx, s.orders[1], "SELECT count(*) FROM accounts"); err != nil {
						return err
					}
				}
				return s.orders[0].sql(ctx, lockAccounts)
			},
		},
		{
			name: "failover", lane: orders, lingers: true,
			does: "the primary dies and its standby is promoted; later the primary is rebuilt",
			expect: []expected{
				{"PostgresRoleChanged", "info", labels{"instance": "orders-2"}},
				{"PostgresDown", "critical", labels{"instance": "orders-1"}},
			},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := s.orders[0].Signal(syscall.SIGQUIT); err != nil {
					return err
				}
				a.heal(func(ctx context.Context) error {
					if err := s.orders[0].Follow(ctx, s.orders[1].Server, 0); err != nil {
						return err
					}
					return s.handBack(ctx)
				})
				return s.orders[1].Promote(ctx)
			},
		},
		{
			name: "link-slow", lane: orders,
			does: "a standby comes back over a link that is too slow for the load",
			expect: []expected{
				{"PostgresReplicationLagBytes", "warning", labels{"instance": "orders-1"}},
				{"PostgresReplicationCatchup", "info", labels{"instance": "orders-1"}},
			},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				s.links[0].cut()
				a.mendLink(s.links[0])
				if err := s.orders[0].flood(ctx, 40); err != nil {
					return err
				}
				s.links[0].mend()
				s.links[0].slow(200 << 10)
				a.meanwhile(ctx, s.orders[0].trickle)
				return nil
			},
		},
		{
			name: "slot-left", lane: orders, within: 2 * time.Minute,
			does: "a slot stays behind that nobody uses, and WAL piles up",
			expect: []expected{
				{"PostgresSlotInactive", "warning", labels{"instance": "orders-1"}},
				{"PostgresWalDirLarge", "warning", labels{"instance": "orders-1"}},
			},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := a.slot(ctx, s.orders[0], physicalSlot); err != nil {
					return err
				}
				if err := s.load(ctx, 160); err != nil {
					return err
				}
				a.meanwhile(ctx, s.orders[0].trickle)
				return nil
			},
		},
		{
			name: "slot-half", lane: orders,
			does:   "a slot has used up half of what it may keep",
			expect: []expected{{"PostgresSlotRetention", "warning", labels{"instance": "orders-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.fillSlot(ctx, a, physicalSlot, 128, 80)
			},
		},
		{
			name: "split-brain", lane: orders, short: true,
			does:    "a standby is promoted beside the primary",
			expect:  []expected{{"PostgresMultiplePrimaries", "critical", labels{"pg_cluster": "orders"}}},
			follows: []string{"PostgresNoStreamingReplica"},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(ctx context.Context) error {
					if err := s.orders[1].Follow(ctx, s.orders[0].Server, s.links[0].port()); err != nil {
						return err
					}
					return s.orders[2].Follow(ctx, s.orders[1].Server, s.links[1].port())
				})
				return s.orders[1].Promote(ctx)
			},
		},
		{
			name: "slot-full", lane: orders,
			does:   "a slot has used up nearly all that it may keep",
			expect: []expected{{"PostgresSlotRetention", "critical", labels{"instance": "orders-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.fillSlot(ctx, a, physicalSlot, 128, 120)
			},
		},
		{
			name: "slot-lost", lane: orders, short: true,
			does:   "a slot for logical decoding has kept more than it may, and is lost",
			expect: []expected{{"PostgresSlotLost", "critical", labels{"instance": "orders-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.loseSlot(ctx, a, logicalSlot)
			},
		},
		{
			name: "slot-lost-physical", lane: orders,
			does:   "the slot of a standby has kept more than it may, and is lost",
			expect: []expected{{"PostgresSlotLost", "warning", labels{"instance": "orders-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.loseSlot(ctx, a, physicalSlot)
			},
		},
		{
			name: "rolling-restart", lane: orders,
			does: "standbys and then the primary are restarted",
			hold: 15 * time.Second,
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				for _, i := range []int{2, 1, 0} {
					if err := s.orders[i].Restart(ctx); err != nil {
						return err
					}
					if err := pause(ctx, 3*time.Second); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name: "sync-standby-missing", lane: orders,
			does: "commits wait for a standby whose link is cut",
			expect: []expected{
				{"PostgresSyncStandbyMissing", "critical", labels{"instance": "orders-1"}},
				{"PostgresNoStreamingReplica", "critical", labels{"instance": "orders-1"}},
			},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := a.set(ctx, s.orders[0], "synchronous_standby_names", "*"); err != nil {
					return err
				}
				s.links[0].cut()
				a.mendLink(s.links[0])
				return nil
			},
		},
		{
			name: "bulk-load", lane: orders,
			does: "a table of some tens of megabytes is loaded, and dropped",
			hold: 15 * time.Second,
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				err := s.orders[0].sql(ctx,
					"CREATE TABLE load AS SELECT g AS id, repeat('x', 200) AS text FROM generate_series(1, 200000) AS g",
					"CREATE INDEX ON load (id)", "ANALYZE load")
				if err != nil {
					return err
				}
				if err := s.carried(ctx); err != nil {
					return err
				}
				return s.orders[0].sql(ctx, "DROP TABLE load")
			},
		},
		{
			name: "base-backup", lane: orders,
			does: "a base backup of the primary is taken",
			hold: 15 * time.Second,
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				return s.orders[0].baseBackup(ctx)
			},
		},
		{
			name: "failover-flapping", lane: orders, lingers: true,
			does:    "primary and standby change places again and again",
			expect:  []expected{{"PostgresFailoverFlapping", "critical", labels{"pg_cluster": "orders"}}},
			follows: []string{"PostgresNoStreamingReplica", "PostgresNoPrimary", "PostgresCrashRestart"},
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				for range 2 {
					if err := handOver(ctx, s.orders[0], s.orders[1], 0); err != nil {
						return err
					}
					if err := s.handBack(ctx); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

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
