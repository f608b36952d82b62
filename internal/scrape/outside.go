package scrape

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Pooler is a source with a session of its own: PgBouncer's admin console.
type Pooler interface {
	// Read returns a reading for each collector, soon after ctx ends at the latest.
	// The error says that the pooler did not answer.
	Read(ctx context.Context) ([]spec.Reading, error)
	// Opened counts the sessions opened so far.
	Opened() uint64
	// Address is where the pooler is, for the log.
	Address() string
	// Close ends the session.
	Close(ctx context.Context)
}

// Watcher is a source that is looked at in its own time and answers from memory: a
// backup tool. Who made it ends it.
type Watcher interface {
	Read(ctx context.Context) []spec.Reading
}

// OutsideOptions say what of a source is shown and how.
type OutsideOptions struct {
	// Collectors are those of the source that are switched on.
	Collectors []spec.Collector
	// MaxSeries replaces the budgets of all collectors, as in Options.
	MaxSeries int
	// Logger takes what operators should know: state changes, not each failure.
	Logger log.Logger
}

// Outside scrapes a source that is not PostgreSQL. All its collectors run with the
// scrape, and scrapes that overlap share one reading, whatever of it they want. Its
// methods may be called by any number of goroutines.
type Outside struct {
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // readings
	read   func(context.Context) ([]spec.Reading, error)
	pooler Pooler // nil where the source has no session
	units  []*unit
	logger log.Logger

	mu       sync.Mutex
	closed   bool
	joinable *reading
	records  map[*unit]*telling
	failures map[tally]uint64
	unmet    map[postgres.Reason]uint64 // connects that failed
	wasUp    bool
	told     bool // the log has said whether the source is up
}

// telling is what is known of a collector.
type telling struct {
	record
	tried   time.Time // when the last reading was made
	unknown int       // columns nobody knows
}

// reading is one run, shared by the scrapes that overlap it. The lock of Outside
// guards all but done and ctx.
type reading struct {
	ctx      context.Context
	cancel   context.CancelFunc
	deadline time.Time
	waiting  int
	done     chan struct{}

	decided bool // whether the source is up
	up      bool
	results map[*unit]*result
}

// NewPooler returns what scrapes a pooler, which it closes with itself.
func NewPooler(ctx context.Context, p Pooler, opt OutsideOptions) *Outside {
	o := newOutside(ctx, p.Read, opt)
	o.pooler = p
	o.logger = log.With(o.logger, "pooler", p.Address())
	return o
}

// NewWatched returns what shows what a watcher has seen.
func NewWatched(ctx context.Context, w Watcher, opt OutsideOptions) *Outside {
	return newOutside(ctx, func(ctx context.Context) ([]spec.Reading, error) { return w.Read(ctx), nil }, opt)
}

func newOutside(ctx context.Context, read func(context.Context) ([]spec.Reading, error), opt OutsideOptions) *Outside {
	if opt.Logger == nil {
		opt.Logger = log.NewNopLogger()
	}
	o := &Outside{
		read: read, logger: opt.Logger,
		records: map[*unit]*telling{}, failures: map[tally]uint64{}, unmet: map[postgres.Reason]uint64{},
	}
	o.ctx, o.cancel = context.WithCancel(ctx)
	for _, c := range opt.Collectors {
		u := newUnit(c, 0)
		switch {
		case opt.MaxSeries < 0:
			u.most = math.MaxInt
		case opt.MaxSeries > 0:
			u.most = opt.MaxSeries
		}
		o.units = append(o.units, u)
		o.records[u] = &telling{}
	}
	return o
}

// Scrape reads the source and returns the page's families at the latest when ctx
// ends, with whatever is known.
func (o *Outside) Scrape(ctx context.Context, sel Selection) []page.Family {
	r := o.join(ctx)
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	fams := o.page(r, sel)
	o.leave(r)
	return fams
}

// join returns the reading that runs, if it has as much time, or a new one; nil
// where the source is closed.
func (o *Outside) join(ctx context.Context) *reading {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	if r := o.joinable; r != nil && r.ctx.Err() == nil && time.Until(r.deadline) >= time.Until(deadline)/2 {
		r.waiting++
		return r
	}
	r := &reading{waiting: 1, done: make(chan struct{}), results: map[*unit]*result{}}
	// As with a server: it outlives the request that began it, and ends a little
	// before its page, which then can tell what there was no time for.
	r.deadline = deadline.Add(-min(margin, time.Until(deadline)/10))
	r.ctx, r.cancel = context.WithDeadline(o.ctx, r.deadline)
	o.joinable = r
	o.wg.Go(func() {
		defer r.cancel()
		o.run(r)
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.joinable == r {
			o.joinable = nil
		}
		close(r.done)
	})
	return r
}

// leave ends waiting; a reading that nobody waits for is cancelled.
func (o *Outside) leave(r *reading) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.cancel()
	}
}

// run is one reading.
func (o *Outside) run(r *reading) {
	// A source that does not answer is down when the time is up, not when the
	// session is given up on: the page goes out between the two.
	stop := context.AfterFunc(r.ctx, func() { o.noteUp(r, r.ctx.Err()) })
	readings, err := o.read(r.ctx)
	stop()
	o.noteUp(r, err)
	for _, rd := range readings {
		for _, u := range o.units {
			if u.c.Name == rd.Collector {
				o.take(r, u, rd)
			}
		}
	}
}

// noteUp records, once a reading, whether the source answered, counts why not, and
// logs when that changes. A reading that nobody waits for tells nothing.
func (o *Outside) noteUp(r *reading, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.decided || errors.Is(r.ctx.Err(), context.Canceled) {
		return
	}
	r.decided, r.up = true, err == nil
	if err != nil {
		o.unmet[postgres.ConnectReason(err)]++
	}
	switch {
	case o.pooler == nil:
	case r.up && !o.wasUp:
		level.Info(o.logger).Log("msg", "pooler is up")
	case !r.up && (o.wasUp || !o.told):
		level.Warn(o.logger).Log("msg", "pooler is down", "reason", postgres.ConnectReason(err), "err", err)
	}
	o.wasUp, o.told = r.up, true
}

// take binds a reading's rows and records what became of it.
func (o *Outside) take(r *reading, u *unit, rd spec.Reading) {
	if rd.At.IsZero() {
		rd.At = time.Now()
	}
	var res *result
	err := rd.Err
	rows, began := 0, time.Now()
	if err == nil {
		rows = rd.Rows.Len()
		res, err = u.bindNamed(rd)
	}
	binding := time.Since(began)
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.records[u]
	again := t.tried.Equal(rd.At)
	t.tried, t.duration, t.unknown = rd.At, rd.Elapsed, rd.Unknown
	t.rows, t.binding = rows, binding
	if err == nil {
		if t.reason != "" {
			level.Info(o.logger).Log("msg", "collector works again", "collector", u.c.Name)
		}
		t.noteSuccess(res)
		r.results[u] = res
		return
	}
	reason := postgres.QueryReason(err)
	if t.reason != reason {
		level.Warn(o.logger).Log("msg", "collector failed", "collector", u.c.Name, "reason", string(reason), "err", err)
	}
	if !again {
		o.failures[tally{u.c.Name, reason}]++
	}
	t.noteFailure(rd.At, reason, err)
}

// Close ends what is under way and waits for it.
func (o *Outside) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.cancel()
	o.wg.Wait()
	if o.pooler != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), closeGrace)
		defer cancel()
		o.pooler.Close(ctx)
	}
}
