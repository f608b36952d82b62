package stage

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	owner    = "shop"
	database = "shop"
)

const schema = `
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL);
CREATE TABLE product (id int PRIMARY KEY, name text NOT NULL, stock int NOT NULL);
CREATE TABLE purchase (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer int NOT NULL REFERENCES customer,
	product int NOT NULL REFERENCES product,
	at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON purchase (at);
INSERT INTO customer SELECT g, 'customer ' || g, 'city ' || g % 20 FROM generate_series(1, 20000) g;
DELETE FROM customer WHERE id > 1000 AND id % 3 > 0; -- bloat, to be measured
INSERT INTO product SELECT g, 'product ' || g, 1000 FROM generate_series(1, 200) g;
ANALYZE`

// routine is what one session of the workload does over and over.
type routine struct {
	name  string
	steps []step
}

// step is a statement and the rest after it.
type step struct {
	sql  string
	rest time.Duration
}

// routines are slow enough for any machine, and delete what they insert, so that
// a demo may stay for days.
func routines() []routine {
	return []routine{
		{"clerk", []step{
			{"INSERT INTO purchase (customer, product) SELECT 1 + random() * 999, 1 + random() * 199 FROM generate_series(1, 3)", 100 * time.Millisecond},
		}},
		{"stock", []step{
			{"UPDATE product SET stock = stock - 1 + 2 * (stock < 1)::int WHERE id = (1 + random() * 199)::int", 150 * time.Millisecond},
			{"UPDATE product SET stock = stock + 1 WHERE id % 20 = 0", 150 * time.Millisecond},
			{"DELETE FROM purchase WHERE at < now() - interval '15 minutes'", time.Second},
		}},
		{"report", []step{
			{"SELECT c.city, count(*) FROM purchase p JOIN customer c ON c.id = p.customer GROUP BY c.city ORDER BY 2 DESC", time.Second},
		}},
		{"forgetful", []step{ // idle in transaction now and then
			{"BEGIN", 0},
			{"UPDATE customer SET city = city WHERE id = 1", 12 * time.Second},
			{"COMMIT", 25 * time.Second},
		}},
	}
}

// reconnect is the rest after a session was lost.
const reconnect = time.Second

// run repeats the steps until ctx ends, in a new session where one is lost: who stops
// the server wants to see what the exporter makes of it. Other errors are ours.
func (r routine) run(ctx context.Context, dsn string) error {
	for {
		if err := r.session(ctx, dsn); err == nil || !lost(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnect):
		}
	}
}

// lost tells whether an error says that there is no server to work on, or no way to
// it: what is no answer of a server, or one about connections (class 08, of PgBouncer
// too), operators (57) or the system (58).
func lost(err error) bool {
	var answer *pgconn.PgError
	return !errors.As(err, &answer) || slices.ContainsFunc([]string{"08", "57", "58"}, func(class string) bool {
		return strings.HasPrefix(answer.Code, class)
	})
}

// session repeats the steps on one connection until ctx ends.
func (r routine) session(ctx context.Context, dsn string) (err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	// Through a pooler each transaction may be on another connection, which has no prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["application_name"] = owner + " " + r.name
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for {
		for _, s := range r.steps {
			if _, err := conn.Exec(ctx, s.sql); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(s.rest):
			}
		}
	}
}
