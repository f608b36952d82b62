package main

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"time"
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
