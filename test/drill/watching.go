package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/program"
)

// watchingDrills break what monitors, of all clusters.
func watchingDrills() []drill {
	job := labels{"job": "postgres"}
	return append([]drill{
		{
			name: "exporter-down", lane: watching, short: true,
			does:   "an exporter ends",
			expect: []expected{{"PostgresExporterDown", "warning", labels{"instance": "orders-3"}}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(ctx context.Context) error { return s.startExporter(ctx, s.orders[2]) })
				return s.orders[2].stopExporter()
			},
		},
		{
			name: "exporter-restarts", lane: watching, hold: 20 * time.Second,
			does: "all exporters are restarted, as for a new release",
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				for _, m := range s.members() {
					if err := errors.Join(m.stopExporter(), s.startExporter(ctx, m)); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name: "grant-revoked", lane: watching,
			does:   "pg_monitor is revoked from the exporter's role, which then connects anew",
			expect: []expected{{"PostgresPermissionMissing", "info", labels{"instance": "shop-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				const reconnect = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + pgtest.Monitor + "'"
				a.heal(func(ctx context.Context) error {
					return s.shop.sql(ctx, "GRANT pg_monitor TO "+pgtest.Monitor, reconnect)
				})
				return s.shop.sql(ctx, "REVOKE pg_monitor FROM "+pgtest.Monitor, reconnect)
			},
		},
		{
			name: "monitoring-blind", lane: watching,
			does:   "what the archiver did may not be asked any more",
			expect: []expected{{"PostgresMonitoringBlind", "warning", labels{"instance": "ledger-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				const function = "EXECUTE ON FUNCTION pg_catalog.pg_stat_get_archiver()"
				a.heal(func(ctx context.Context) error {
					// The collector would rest for an hour.
					return errors.Join(s.ledger.sql(ctx, "GRANT "+function+" TO PUBLIC"), s.ledger.stopExporter(), s.startExporter(ctx, s.ledger))
				})
				return s.ledger.sql(ctx, "REVOKE "+function+" FROM PUBLIC")
			},
		},
		{
			name: "collector-failing", lane: watching,
			does:   "a transaction keeps a catalogue locked that a collector reads",
			expect: []expected{{"PostgresCollectorFailing", "warning", labels{"instance": "stock-1", "collector": "stat_subscription"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return a.transaction(ctx, s.stock, "LOCK TABLE pg_catalog.pg_subscription IN ACCESS EXCLUSIVE MODE")
			},
		},
		{
			name: "target-lost", lane: watching,
			does:   "service discovery finds a server no more",
			expect: []expected{{"PostgresTargetsMissing", "warning", job}},
			within: 3 * time.Minute,
			do: func(_ context.Context, s *scene, a *attempt) error {
				return s.lose(a, "orders-3")
			},
		},
		{
			name: "job-lost", lane: watching,
			does:   "service discovery finds nothing at all",
			expect: []expected{{"PostgresTargetsMissing", "warning", job}},
			within: 3 * time.Minute,
			do: func(_ context.Context, s *scene, a *attempt) error {
				for _, m := range s.members() {
					if err := s.lose(a, m.name); err != nil {
						return err
					}
				}
				return s.lose(a, "stock-pooler")
			},
		},
		{
			name: "server-stalls", lane: watching,
			does:   "a server stands still for a minute, every two minutes",
			expect: []expected{{"PostgresScrapeSlow", "warning", labels{"instance": "shop-1"}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.shop.Thaw() })
				a.meanwhile(ctx, func(ctx context.Context) {
					for ctx.Err() == nil {
						_ = s.shop.Freeze()
						_ = pause(ctx, 2*time.Second)
						_ = s.shop.Thaw()
						_ = pause(ctx, 2*time.Second)
					}
				})
				return nil
			},
		},
	}, pairDrills()...)
}

// pairDrills take away a part of what there are two of, which must not be heard of;
// a server that dies meanwhile must be.
func pairDrills() []drill {
	down := []expected{{"PostgresDown", "critical", labels{"instance": "orders-3"}}}
	often := []string{"PostgresCrashRestart"} // it is always the same server, and they follow each other within the hour
	return []drill{
		{
			name: "prometheus-lost", lane: watching, short: true,
			does: "one Prometheus of the pair is gone, and then a server dies", expect: down,
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.without(ctx, a, kill, s.mon.prometheus[0])
			},
		},
		{
			name: "sidecar-lost", lane: watching,
			does: "one sidecar is gone, and then a server dies", expect: down, follows: often,
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.without(ctx, a, kill, s.mon.sidecars[0])
			},
		},
		{
			name: "replica-lost", lane: watching,
			does: "a host with Prometheus and sidecar is gone, and then a server dies", expect: down, follows: often,
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.without(ctx, a, kill, s.mon.sidecars[1], s.mon.prometheus[1])
			},
		},
		{
			name: "replica-silent", lane: watching,
			does: "a host with Prometheus and sidecar takes connections and answers nothing, and then a server dies", expect: down, follows: often,
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.without(ctx, a, freeze, s.mon.sidecars[0], s.mon.prometheus[0])
			},
		},
		{
			name: "prometheus-restarts", lane: watching, hold: 20 * time.Second,
			does: "both Prometheus servers are restarted, one after the other",
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				return restart(ctx, s.mon.prometheus[0], s.mon.prometheus[1])
			},
		},
		{
			name: "rulers-restart", lane: watching, hold: 20 * time.Second,
			does: "Thanos Query and Ruler are restarted",
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				return restart(ctx, s.mon.query, s.mon.ruler)
			},
		},
		{
			name: "alertmanagers-restart", lane: watching, hold: 20 * time.Second,
			does: "the Alertmanagers are restarted",
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				return restart(ctx, s.mon.alertmanagers[:]...)
			},
		},
	}
}

// lose has Prometheus scrape a target no more.
func (s *scene) lose(a *attempt, instance string) error {
	t, err := s.mon.forget(instance)
	a.heal(func(context.Context) error { return s.mon.watch(t) })
	return err
}

// breakage takes a program away, and returns what brings it back.
type breakage func(*program.Program) (back func(context.Context) error, err error)

func kill(p *program.Program) (func(context.Context) error, error) { return p.Start, p.Kill() }

func freeze(p *program.Program) (func(context.Context) error, error) {
	thaw := func(context.Context) error { return p.Signal(syscall.SIGCONT) }
	return thaw, p.Signal(syscall.SIGSTOP)
}

// without takes programs away, and after some minutes kills a standby.
func (s *scene) without(ctx context.Context, a *attempt, do breakage, programs ...*program.Program) error {
	for _, p := range programs {
		back, err := do(p)
		a.heal(back)
		if err != nil {
			return err
		}
	}
	if err := pause(ctx, 15*time.Second); err != nil {
		return err
	}
	a.heal(s.orders[2].Restart)
	return s.orders[2].Signal(syscall.SIGQUIT)
}

func restart(ctx context.Context, programs ...*program.Program) error {
	for _, p := range programs {
		if err := errors.Join(p.Stop(), p.Start(ctx)); err != nil {
			return err
		}
	}
	return nil
}
