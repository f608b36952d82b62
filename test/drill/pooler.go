package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// The pooler before the stock has two connections to its server and takes this many clients.
const poolerClients = 80

// poolerRole is whom the pooler logs in as.
const poolerRole = "app"

// lightQuery, by five clients, leaves the pool's two servers time: nobody waits for long.
const lightQuery = "SELECT pg_sleep(0.05)"

func ofPooler(more labels) labels {
	l := labels{"instance": "stock-pooler"}
	for name, value := range more {
		l[name] = value
	}
	return l
}

var ofPool = ofPooler(labels{"database": "postgres"})

// poolerDrills break the pooler before a server, or keep it busy.
func poolerDrills() []drill {
	return []drill{
		{
			name: "pooler-down", lane: stock, short: true,
			does:   "the pooler ends",
			expect: []expected{{"PgBouncerDown", "critical", ofPooler(nil)}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(s.pooler.Restart)
				_ = s.pooler.Do(ctx, "SHUTDOWN") // it cuts the connection too
				return nil
			},
		},
		{
			name: "pooler-frozen", lane: stock,
			does:   "the pooler answers nothing more, its connections stay",
			expect: []expected{{"PgBouncerDown", "critical", ofPooler(nil)}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.pooler.Thaw() })
				return s.pooler.Freeze()
			},
		},
		{
			name: "pooler-restarts", lane: stock, hold: 15 * time.Second,
			does: "the pooler is restarted while it has clients",
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.clients(ctx, s.pooler, 5, lightQuery)
				if err := pause(ctx, 2*time.Second); err != nil {
					return err
				}
				return s.pooler.Restart(ctx)
			},
		},
		{
			name: "pool-full", lane: stock,
			does:   "clients keep all servers of the pool busy, and nobody waits",
			expect: []expected{{"PgBouncerPoolSaturated", "warning", ofPool}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.clients(ctx, s.pooler, 2, "SELECT pg_sleep(3)")
				return nil
			},
		},
		{
			name: "pool-queue", lane: stock,
			does: "clients wait long for a server of the pool",
			expect: []expected{
				{"PgBouncerWaiting", "critical", ofPool},
				{"PgBouncerPoolSaturated", "warning", ofPool},
			},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.clients(ctx, s.pooler, 8, "SELECT pg_sleep(2)")
				return nil
			},
		},
		{
			name: "pool-bursts", lane: stock, hold: 40 * time.Second,
			does: "thirty clients come at once, again and again, and wait for moments",
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.meanwhile(ctx, func(ctx context.Context) {
					for pause(ctx, 8*time.Second) == nil {
						burst := new(attempt)
						burst.clients(ctx, s.pooler, 30, "SELECT pg_sleep(0.1)")
						_ = pause(ctx, 2*time.Second) // the end is looked at above
						_ = burst.mend(context.WithoutCancel(ctx))
					}
				})
				return nil
			},
		},
		{
			name: "pooler-clients", lane: stock,
			does:   "almost as many clients are connected to the pooler as it takes",
			expect: []expected{{"PgBouncerClientsNearMax", "warning", ofPooler(nil)}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				for range poolerClients * 9 / 10 {
					conn, err := patient(ctx, s.pooler)
					if err != nil {
						return err
					}
					a.heal(conn.Close)
				}
				return nil
			},
		},
		{
			name: "pooler-refused", lane: stock,
			does:   "the server refuses the pooler's login, and clients keep trying",
			expect: []expected{{"PgBouncerNoServers", "warning", ofPool}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(ctx context.Context) error { return s.stock.sql(ctx, "ALTER ROLE "+poolerRole+" LOGIN") })
				err := s.stock.sql(ctx, "ALTER ROLE "+poolerRole+" NOLOGIN",
					"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+poolerRole+"'")
				a.clients(ctx, s.pooler, 5, lightQuery)
				return err
			},
		},
		{
			name: "pooler-paused", lane: stock,
			does:   "a database is paused, its clients wait, and nobody resumes it",
			expect: []expected{{"PgBouncerPaused", "info", ofPooler(labels{"name": "postgres"})}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(ctx context.Context) error { return s.pooler.Do(ctx, "RESUME postgres") })
				a.clients(ctx, s.pooler, 5, lightQuery)
				return s.pooler.Do(ctx, "PAUSE postgres")
			},
		},
		{
			name: "pooler-paused-briefly", lane: stock, hold: 20 * time.Second,
			does: "a database is paused for a minute and a half, as for a switchover",
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.clients(ctx, s.pooler, 5, lightQuery)
				if err := s.pooler.Do(ctx, "PAUSE postgres"); err != nil {
					return err
				}
				err := pause(ctx, 3*time.Second)
				if resumed := s.pooler.Do(context.WithoutCancel(ctx), "RESUME postgres"); err == nil {
					err = resumed
				}
				return err
			},
		},
	}
}

// clients are so many that run a statement through a pooler again and again, and try
// anew when they are refused, until the fault is healed.
func (a *attempt) clients(ctx context.Context, p *pgtest.Pooler, n int, statement string) {
	for range n {
		a.meanwhile(ctx, func(ctx context.Context) {
			for ctx.Err() == nil {
				ask(ctx, p, statement)
				_ = pause(ctx, look) // the loop looks
			}
		})
	}
}

// patient connects to a pooler. Clients of the drill before may still be leaving, and
// it refuses more than it takes.
func patient(ctx context.Context, p *pgtest.Pooler) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.DSN(pgtest.PoolerUser, "postgres"))
		if err == nil || pause(ctx, look) != nil {
			return conn, err
		}
	}
}

// ask runs a statement through a pooler until it fails.
func ask(ctx context.Context, p *pgtest.Pooler, statement string) {
	conn, err := pgx.Connect(ctx, p.DSN(pgtest.PoolerUser, "postgres"))
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the pooler may be gone
	for {
		// Prepared statements do not fit pools of transactions.
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			return
		}
	}
}
