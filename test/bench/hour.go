package main

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/test/exporter"
)

// ordinaryPace is how often Prometheus scrapes where nobody says otherwise.
const ordinaryPace = 15 * time.Second

// hourFigures are what scrapes at Prometheus' rhythm cost the server: of the
// exporter, and of the same statements read bare over as many sessions, opened
// and closed when the exporter opened and closed its own.
type hourFigures struct {
	window                   time.Duration
	exporter, bare           time.Duration // server CPU in the window
	firstExporter, firstBare time.Duration // of the first scrape, before the window
	seen                     int           // most sessions at once; the tap is late to end one
	collectors               map[string]*hourCollector
}

// hourCollector is a collector that does not run with each scrape.
type hourCollector struct {
	rhythm    time.Duration // in force at the end of the window
	databases int           // it ran in with the first scrape
	first     time.Duration // server CPU of all these runs, bare and cold
	runs      int           // in the window, over all databases
}

// hour scrapes at the ordinary rhythm. After each scrape, when all that it
// started has been read, the statements that passed are read bare: so both see
// the same machine.
func (b *bench) hour(ctx context.Context) (err error) {
	if err := errors.Join(b.weigh(b.exporter), b.stop(ctx), b.stage.awaitGone(ctx)); err != nil {
		return err
	}
	w, err := newWire(b.server())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	e, err := b.start(ctx, w.address())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	r := &replay{stage: b.stage, sessions: map[int]*bare{}}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	h := &b.f.hour
	h.collectors = map[string]*hourCollector{}
	return b.watched(ctx, &h.seen, func(ctx context.Context) error {
		t, _, onExporter, err := b.tick(ctx, e, w)
		if err != nil {
			return err
		}
		h.noteFirst(t)
		h.firstExporter = onExporter
		if h.firstBare, err = r.spend(ctx, t, h.collectors); err != nil {
			return err
		}
		return b.hourTicks(ctx, e, w, r)
	})
}

func (b *bench) hourTicks(ctx context.Context, e *exporter.Process, w *wire, r *replay) error {
	h := &b.f.hour
	began := time.Now()
	for n := 1; h.window < b.load.paced; n++ {
		t, page, onExporter, err := b.tick(ctx, e, w)
		if err != nil {
			return err
		}
		onBare, err := r.spend(ctx, t, nil)
		if err != nil {
			return err
		}
		h.exporter += onExporter
		h.bare += onBare
		h.noteRuns(t)
		b.f.pacedWall = append(b.f.pacedWall, page.Took)
		b.f.lastSeries = page.Series()
		h.noteRhythms(page)
		// A refresh that outlasts its turn makes the next late.
		if err := sleep(ctx, time.Until(began.Add(time.Duration(n)*b.load.pace))); err != nil {
			return err
		}
		h.window = time.Since(began)
	}
	return b.weigh(e)
}

// tick scrapes once, waits until what the scrape has started is done, and tells
// what passed and the server's CPU time for it.
func (b *bench) tick(ctx context.Context, e *exporter.Process, w *wire) (t traffic, p exporter.Page, spent time.Duration, err error) {
	before, err := b.stage.timeOf(ctx, exporterName)
	if err != nil {
		return t, p, 0, err
	}
	if p, err = b.scrape(ctx, e); err != nil {
		return t, p, 0, err
	}
	if err := b.stage.quiet(ctx); err != nil {
		return t, p, 0, err
	}
	after, err := b.stage.timeOf(ctx, exporterName)
	return w.take(), p, after - before, err
}

// executions is how often each collector ran beside the lasting session.
func (t traffic) executions() map[string]int {
	runs := map[string]int{}
	for _, s := range t.sessions {
		if s.number == 0 {
			continue
		}
		for _, c := range s.calls {
			runs[collectorOf(c.text)]++
		}
	}
	return runs
}

func (h *hourFigures) noteFirst(t traffic) {
	for name, n := range t.executions() {
		h.collectors[name] = &hourCollector{databases: n}
	}
}

func (h *hourFigures) noteRuns(t traffic) {
	for name, n := range t.executions() {
		if c := h.collectors[name]; c != nil {
			c.runs += n
		}
	}
}

func (h *hourFigures) noteRhythms(p exporter.Page) {
	for labels, seconds := range p.Samples("pgvigil_collector_interval_seconds") {
		name := strings.TrimSuffix(strings.TrimPrefix(labels, `collector="`), `"`)
		if c := h.collectors[name]; c != nil {
			c.rhythm = time.Duration(seconds * float64(time.Second))
		}
	}
}

// early is by how much of its rhythm a collector may run before it is over, so
// that scrapes which come a little early do not skip it.
const early = 0.1

// each is how far apart the collector's runs are: it runs with the first scrape
// that finds it due.
func (c *hourCollector) each(pace time.Duration) time.Duration {
	turns := math.Ceil(float64(c.rhythm) * (1 - early) / float64(pace))
	return time.Duration(max(turns, 1)) * pace
}

// perHour is the server's CPU time in an hour, of the exporter and of the bare
// statements: the window's, and what each collector would have run more, or less,
// in a window that is a fair share of an hour. A run counts as what it cost with
// the first scrape.
func (h *hourFigures) perHour(pace time.Duration) (onExporter, onBare time.Duration) {
	var missing float64
	for _, c := range h.collectors {
		fair := float64(c.databases) * float64(h.window) / float64(c.each(pace))
		missing += (fair - float64(c.runs)) * float64(c.first) / float64(c.databases)
	}
	hours := float64(time.Hour) / float64(h.window)
	dearer := float64(h.firstExporter) / float64(h.firstBare)
	return time.Duration(hours * (float64(h.exporter) + missing*dearer)), time.Duration(hours * (float64(h.bare) + missing))
}

// replay reads what passed through a wire, bare: a session for each session.
type replay struct {
	stage    *stage
	sessions map[int]*bare // by number on the wire
}

// spend reads traffic and returns the server's CPU time for it. Collectors, if
// there are any, get the cost of each of their texts.
func (r *replay) spend(ctx context.Context, t traffic, collectors map[string]*hourCollector) (time.Duration, error) {
	before, err := r.stage.timeOf(ctx, bareName)
	if err != nil {
		return 0, err
	}
	for _, s := range t.sessions {
		if err := r.read(ctx, s, collectors); err != nil {
			return 0, err
		}
	}
	if err := r.settle(ctx); err != nil {
		return 0, err
	}
	after, err := r.stage.timeOf(ctx, bareName)
	return after - before, err
}

func (r *replay) read(ctx context.Context, t linkTraffic, collectors map[string]*hourCollector) error {
	s := r.sessions[t.number]
	if s == nil {
		if len(t.calls) == 0 {
			return nil // the request to cancel another session's statement, say
		}
		var err error
		if s, err = r.stage.newBare(ctx, t.database, nil); err != nil {
			return err
		}
		r.sessions[t.number] = s
	}
	for _, one := range t.calls {
		c := collectors[collectorOf(one.text)]
		if c == nil || t.number == 0 {
			if err := errors.Join(s.prepare(ctx, one.text), s.readOne(ctx, one)); err != nil {
				return err
			}
			continue
		}
		cost, err := s.cost(ctx, one)
		if err != nil {
			return err
		}
		c.first += cost
	}
	if t.closed {
		delete(r.sessions, t.number)
		return s.close(ctx)
	}
	return nil
}

// settle waits until the server has seen the closed sessions end.
func (r *replay) settle(ctx context.Context) error {
	for {
		open, err := r.stage.backends(ctx, bareName)
		if err != nil {
			return err
		}
		if err := sleep(ctx, watch); err != nil || len(open) == len(r.sessions) {
			return err
		}
	}
}

func (r *replay) close(ctx context.Context) error {
	var err error
	for _, number := range slices.Sorted(maps.Keys(r.sessions)) {
		err = errors.Join(err, r.sessions[number].close(ctx))
	}
	return err
}
