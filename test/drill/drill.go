package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// A lane is a cluster of the scene, whose drills come one after the other. Lanes run
// side by side: what is wrong in one is no matter of the others.
type lane string

const (
	orders lane = "orders"
	shop   lane = "shop"
	stock  lane = "stock"
	ledger lane = "ledger"
	// watching is of what monitors: its drills run when all lanes have ended.
	watching lane = "watching"
)

// A drill is a fault and the alerts that must come of it, or something calm, of which
// no page may come.
type drill struct {
	// name is what RUN chooses by, in lower case with hyphens.
	name string
	lane lane
	// does says what is done, as the matrix shows it.
	does string
	// expect are the alerts that must come, by both ways.
	expect []expected
	// follows are names of alerts that page rightly beside them, and need not.
	follows []string
	// within is how long the alerts may take; 90 s if it is 0.
	within time.Duration
	// hold is how long the fault stays after all alerts are there, or something calm
	// goes on after it is done; 5 s if it is 0.
	hold time.Duration
	// lingers says that what it expects looks back for long and goes on after the fault:
	// the next drill does not wait for the end of that.
	lingers bool
	// short says that it is among the few that CI runs.
	short bool
	// do makes the fault. What it registers with the attempt is undone to heal.
	do func(context.Context, *scene, *attempt) error
}

// expected is an alert with a severity, and labels that it must have.
type expected struct {
	alert, severity string
	labels          labels
}

func (e expected) String() string { return e.alert + " (" + e.severity + ")" }

func (e expected) matches(l labels) bool {
	return l["alertname"] == e.alert && l["severity"] == e.severity && l.has(e.labels)
}

// among reports whether an alert is one of the expected.
func among(list []expected, l labels) bool {
	return slices.ContainsFunc(list, func(e expected) bool { return e.matches(l) })
}

// An attempt is a drill that is under way.
type attempt struct {
	undo []func(context.Context) error
}

// heal registers what undoes a fault; the last comes first.
func (a *attempt) heal(undo func(context.Context) error) { a.undo = append(a.undo, undo) }

// mend undoes the fault, all of it, whatever fails.
func (a *attempt) mend(ctx context.Context) error {
	var err error
	for _, undo := range slices.Backward(a.undo) {
		err = errors.Join(err, undo(ctx))
	}
	a.undo = nil
	return err
}

// session opens a session as a role that lasts until the fault is healed.
func (a *attempt) session(ctx context.Context, m *member, role string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, m.DSN(role, "postgres"))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", m.name, err)
	}
	a.heal(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx) // the server may be gone
		return nil
	})
	return conn, nil
}

// transaction opens one that lasts until the fault is healed, after these statements.
func (a *attempt) transaction(ctx context.Context, m *member, statements ...string) error {
	conn, err := a.session(ctx, m, pgtest.Superuser)
	if err != nil {
		return err
	}
	for _, statement := range append([]string{"BEGIN"}, statements...) {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %s: %w", m.name, statement, err)
		}
	}
	return nil
}

// meanwhile does something until the fault is healed. What fails is not looked at: it
// is what a client of a broken server sees.
func (a *attempt) meanwhile(ctx context.Context, do func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	a.heal(func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// A result is what came of a drill.
type result struct {
	drill
	seen   [ways]map[string]time.Duration // after what an expected alert came
	pages  []string                       // that should not have come
	others []string                       // alerts beside the expected, that are no pages or may page
	lacks  []string                       // expected, and did not come
	err    error                          // the drill itself went wrong
}

func (res result) good() bool { return res.err == nil && len(res.pages) == 0 && len(res.lacks) == 0 }

const (
	settleTimeout = 3 * time.Minute
	healTimeout   = 2 * time.Minute
	look          = 200 * time.Millisecond
)

// A runner runs the drills of a lane.
type runner struct {
	scene *scene
	lane  lane
	say   func(format string, args ...any)

	lingering []expected // of the drills before
}

// mine reports whether an alert is of the runner's lane.
func (r *runner) mine(l labels) bool {
	if r.lane == watching {
		return true
	}
	return l["pg_cluster"] == string(r.lane)
}

func (r *runner) run(ctx context.Context, d drill) result {
	res := result{drill: d}
	for w := range ways {
		res.seen[w] = map[string]time.Duration{}
	}
	r.say("%s: %s", d.name, d.does)
	if err := r.settle(ctx, d); err != nil {
		res.err = err
		return res
	}
	began := time.Now()
	a := new(attempt)
	err := d.do(ctx, r.scene, a)
	if err == nil {
		err = r.await(ctx, &res, began)
	}
	if err == nil {
		err = pause(ctx, max(d.hold, 5*time.Second))
	}
	mendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healTimeout)
	defer cancel()
	if undone := a.mend(mendCtx); undone != nil {
		err = errors.Join(err, fmt.Errorf("heal: %w", undone))
	}
	after := d
	if d.lingers {
		r.lingering = append(r.lingering, d.expect...)
		after.expect = nil
	}
	if err == nil {
		err = r.settle(ctx, after)
	}
	res.err = err
	r.sort(&res, began)
	return res
}

// await waits for the expected alerts by both ways.
func (r *runner) await(ctx context.Context, res *result, began time.Time) error {
	within := res.within
	if within == 0 {
		within = 90 * time.Second
	}
	for {
		notices, err := r.scene.mon.hooks.since(began)
		if err != nil {
			return err
		}
		missing := res.take(notices, began)
		if len(missing) == 0 {
			return nil
		}
		if time.Since(began) > within {
			res.lacks = missing
			return nil
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

// take notes when the expected alerts came, and returns what has not.
func (res *result) take(notices []notice, began time.Time) (missing []string) {
	for w := range ways {
		for _, e := range res.expect {
			i := slices.IndexFunc(notices, func(n notice) bool { return n.by == w && e.matches(n.labels) })
			if i < 0 {
				missing = append(missing, e.String()+" by "+w.String())
				continue
			}
			res.seen[w][e.String()] = notices[i].at.Sub(began)
		}
	}
	return missing
}

// settle waits until nothing is wrong in the lane: no page and no ticket, and none of
// what a drill expects. Information about something that happened may stay for a while,
// and so may what lingers.
func (r *runner) settle(ctx context.Context, d drill) error {
	deadline := time.Now().Add(settleTimeout)
	for {
		firing, err := r.firing(ctx)
		if err != nil {
			return err
		}
		firing = slices.DeleteFunc(firing, func(l labels) bool {
			may := l["severity"] == "info" || among(r.lingering, l)
			return may && !among(d.expect, l) || slices.Contains(constant, l["alertname"])
		})
		if len(firing) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait until nothing fires: %v still do", firing)
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

// firing are the alerts of the lane that an Alertmanager holds for firing.
func (r *runner) firing(ctx context.Context) (list []labels, err error) {
	for w := range ways {
		active, err := r.scene.mon.active(ctx, w)
		if err != nil {
			return nil, err
		}
		list = append(list, slices.DeleteFunc(active, func(l labels) bool { return !r.mine(l) })...)
	}
	return list, nil
}

// constant are alerts that fire by design.
var constant = []string{"PostgresDeadMansSwitch"}

// replicaLabels tell servers of a pair apart and may not reach a person.
var replicaLabels = []string{"replica", "ruler_replica", "prometheus", "prometheus_replica", "thanos_ruler_replica"}

// sort sorts the notices of the drill's time into what was expected and what was not.
func (r *runner) sort(res *result, began time.Time) {
	notices, err := r.scene.mon.hooks.since(began)
	res.err = errors.Join(res.err, err)
	for _, n := range notices {
		name := n.labels["alertname"]
		if !r.mine(n.labels) || slices.Contains(constant, name) {
			continue
		}
		for _, label := range replicaLabels {
			if n.labels[label] != "" {
				res.err = errors.Join(res.err, fmt.Errorf("the %v sent %v, with the label %s", n.by, n.labels, label))
			}
		}
		known := among(res.expect, n.labels) || among(r.lingering, n.labels)
		paged := n.receiver == "page"
		switch {
		case known:
		case !paged || slices.Contains(res.follows, name):
			res.others = append(res.others, fmt.Sprintf("%s (%s)", name, n.labels["severity"]))
		default:
			res.pages = append(res.pages, fmt.Sprintf("%v by %v", n.labels, n.by))
		}
		if !paged && n.labels["severity"] == "critical" {
			res.err = errors.Join(res.err, fmt.Errorf("%v came to %s", n.labels, n.receiver))
		}
	}
	for _, list := range []*[]string{&res.pages, &res.others} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// report prints a result for who watches.
func (res result) report(w io.Writer) {
	state := "ok  "
	if !res.good() {
		state = "FAIL"
	}
	fmt.Fprintf(w, "%s %s", state, res.name)
	for way := range ways {
		for _, e := range res.expect {
			if after, ok := res.seen[way][e.String()]; ok {
				fmt.Fprintf(w, "; %v by %v after %.0f s", e, way, after.Seconds())
			}
		}
	}
	if len(res.others) > 0 {
		fmt.Fprintf(w, "; also %s", strings.Join(res.others, ", "))
	}
	for _, text := range res.lacks {
		fmt.Fprintf(w, "\n     missing: %s", text)
	}
	for _, text := range res.pages {
		fmt.Fprintf(w, "\n     false page: %s", text)
	}
	if res.err != nil {
		fmt.Fprintf(w, "\n     error: %v", res.err)
	}
	fmt.Fprintln(w)
}
