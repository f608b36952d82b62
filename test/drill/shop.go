package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// A solo is a drill of a server by itself: the lane says which.
type solo struct {
	drill
	fault func(context.Context, *member, *attempt) error
}

// shopDrills break a server alone: its sessions, what it stores, and the server itself.
// Those of the lane stock need nothing that the server of shop has, and share its time.
func shopDrills() (list []drill) {
	for _, group := range [][]solo{sessionDrills(), storageDrills(), serverDrills(), calmDrills()} {
		for _, d := range group {
			d.do = func(ctx context.Context, s *scene, a *attempt) error { return d.fault(ctx, s.solo(d.lane), a) }
			list = append(list, d.drill)
		}
	}
	return list
}

// solo is the server of a lane that has one.
func (s *scene) solo(l lane) *member {
	if l == stock {
		return s.stock
	}
	return s.shop
}

// healBy undoes a fault by statements.
func (a *attempt) healBy(m *member, statements ...string) {
	a.heal(func(ctx context.Context) error { return m.sql(ctx, statements...) })
}

// repeat does something over and over until the fault is healed, over sessions of their
// own, with a pause in between.
func (a *attempt) repeat(ctx context.Context, m *member, rest time.Duration, do func(context.Context, *pgx.Conn) error) {
	a.meanwhile(ctx, func(ctx context.Context) {
		for ctx.Err() == nil {
			_ = once(ctx, m, rest, do) // it begins anew
			_ = pause(ctx, rest)
		}
	})
}

// once does something over one session until it fails.
func once(ctx context.Context, m *member, rest time.Duration, do func(context.Context, *pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, m.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Close(context.WithoutCancel(ctx)) // the server may be gone
		<-conn.PgConn().CleanupDone()              // what was under way is cancelled
	}()
	for {
		if err := do(ctx, conn); err != nil {
			return err
		}
		if err := pause(ctx, rest); err != nil {
			return err
		}
	}
}

// running repeats statements, by the simple protocol.
func (a *attempt) running(ctx context.Context, m *member, rest time.Duration, statements string) {
	a.repeat(ctx, m, rest, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, statements).ReadAll()
		return err
	})
}

// change sets settings for the whole server until the fault is healed.
func (a *attempt) change(ctx context.Context, m *member, settings ...string) error {
	a.healBy(m, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
	for _, s := range settings {
		if err := m.sql(ctx, "ALTER SYSTEM SET "+s); err != nil {
			return err
		}
	}
	return m.sql(ctx, "SELECT pg_reload_conf()")
}

// burn takes transaction ids, tens of thousands of them in a second: subtransactions
// that write have one each.
func burn(n string) string {
	return "DO $$ BEGIN FOR i IN 1.." + n + ` LOOP
		BEGIN PERFORM pg_logical_emit_message(true, '', ''); EXCEPTION WHEN division_by_zero THEN NULL; END;
		IF i % 20000 = 0 THEN COMMIT; END IF;
	END LOOP; END $$`
}

// shopUndrilled are the alerts about a server by itself that no drill expects.
func shopUndrilled() []exempt {
	return []exempt{
		{"PostgresXidWraparound", "It wants 860 million transaction ids to be used up."},
		{"PostgresCheckpointSlow", "It looks at the mean of two hours, for which storage would have to be too slow."},
		{"PostgresConnectionChurn", "It compares with the same hour of the week before, which is more than five hours in the time of drills."},
		{"PostgresDatabaseGrowth", "It compares with eight days before, which are more than six hours in the time of drills."},
		{"PostgresUnencryptedClients", "It is of clients of another machine, and all of the drills' are on this one."},
		{"PostgresChecksumsDisabled", "initdb decides it, so it is no fault that comes about."},
	}
}
