package main

import (
	"context"
	"syscall"
)

// ordersDrills break a primary, its standby, and the standby of that one.
func ordersDrills() []drill {
	return []drill{
		{
			name: "primary-down", lane: orders, short: true,
			does: "the primary dies and nobody is promoted",
			expect: []expected{
				{"PostgresDown", "critical", labels{"instance": "orders-1"}},
				{"PostgresNoPrimary", "critical", nil},
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
			name: "replay-paused", lane: orders,
			does:   "replay is paused on a standby",
			expect: []expected{{"PostgresReplayPaused", "info", labels{"instance": "orders-2"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(ctx context.Context) error { return s.orders[1].sql(ctx, "SELECT pg_wal_replay_resume()") })
				return s.orders[1].sql(ctx, "SELECT pg_wal_replay_pause()")
			},
		},
		{
			name: "split-brain", lane: orders, short: true,
			does:    "a standby is promoted beside the primary",
			expect:  []expected{{"PostgresMultiplePrimaries", "critical", nil}},
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
	}
}
