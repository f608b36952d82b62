package backup

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// maxArchived bounds the successes of the archiver that wait for a look to see
// their segment.
const maxArchived = 256

// Watcher looks at one source and remembers what it saw.
//
// The first look begins when the Watcher is made, so that a scrape some seconds
// later finds it done; any other begins with a Read when the last one is older
// than the source's interval. So nothing runs while nobody reads. There is one
// look at a time, and no Read waits for it: one that comes before the first look
// is done has nothing to tell yet of the backups.
//
// A repository that cannot be read keeps the facts of the last look that could,
// and a look that fails leaves all as it was; neither moves the time of the last
// look.
type Watcher struct {
	config Config
	read   reader
	logger log.Logger
	ctx    context.Context
	cancel context.CancelFunc
	looks  sync.WaitGroup
	runner *runner       // of the look that is under way
	first  chan struct{} // closed when the first look is done

	mu       sync.Mutex
	closed   bool
	busy     bool
	memory   memory
	archived []Archived // oldest first
}

// New returns a Watcher of a source and begins to look. Close ends it, and so does
// ctx, but that does not wait.
func New(ctx context.Context, c Config, logger log.Logger) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{
		config: c, read: c.Kind.reader(), ctx: ctx, cancel: cancel,
		logger: log.With(logger, "source", string(c.Kind), "stanza", c.Stanza),
		runner: newRunner(c, os.Environ()), first: make(chan struct{}),
		memory: newMemory(),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(time.Now())
	return w
}

// Close ends the look that is under way with all its processes, and waits for it.
// It may be called again.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.looks.Wait()
}

// Archived takes note of a success of the server's archiver. Successes are
// remembered until a look has seen their segment: that proves the moment.
func (w *Watcher) Archived(a Archived) {
	if a.Segment.IsZero() || a.Time.IsZero() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.archived); n > 0 && w.archived[n-1] == a {
		return
	}
	w.archived = append(w.archived, a)
	if over := len(w.archived) - maxArchived; over > 0 {
		// The oldest is most likely to have been seen, so it stays until a newer one is.
		w.archived = append(w.archived[:1], w.archived[1+over:]...)
	}
}

// Read returns what is known, for the collectors of backups, and begins a look
// where that is due, unless ctx is over. It does not wait.
func (w *Watcher) Read(ctx context.Context) []spec.Reading { return Group{w}.Read(ctx) }

// add adds what is known to a page, and begins a look where that is due.
func (w *Watcher) add(ctx context.Context, p *page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); ctx.Err() == nil && now.Sub(w.memory.attempt) >= w.config.Interval {
		w.begin(now)
	}
	p.add(w.config, w.read.failures, &w.memory, w.archived)
}

// begin starts a look unless one is under way. w.mu is held.
func (w *Watcher) begin(now time.Time) {
	if w.busy || w.closed || w.ctx.Err() != nil {
		return
	}
	w.busy, w.memory.attempt = true, now
	w.looks.Add(1)
	go func() {
		defer w.looks.Done()
		w.look(now)
	}()
}

// look looks once and takes note of what came of it.
func (w *Watcher) look(began time.Time) {
	ctx, cancel := context.WithTimeout(w.ctx, w.config.Timeout)
	defer cancel()
	w.runner.forget()
	report, err := w.read.look(ctx, w.config, w.runner.ask)
	if report.SegmentSize == 0 {
		report.SegmentSize = w.config.SegmentSize
	}
	seen := outcome{at: began, report: report, err: err}
	if err == nil && w.read.list != nil && w.config.WALInterval > 0 && w.listingDue(began) {
		seen.listed, seen.listErr = w.read.list(ctx, w.config, w.runner.ask, report)
		seen.tried = true
	}
	seen.took = time.Since(began)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	select {
	case <-w.first:
	default:
		defer close(w.first)
	}
	if w.ctx.Err() != nil {
		return // whatever it is, we made it
	}
	err, listErr := w.memory.take(seen, w.config.WALInterval)
	w.trim()
	w.tell(&w.memory.saidLook, "look at backups", err)
	if seen.tried {
		w.tell(&w.memory.saidList, "list of archived WAL", listErr)
	}
}

func (w *Watcher) listingDue(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !now.Before(w.memory.nextList)
}

// trim forgets successes of the archiver older than one that the look has seen.
// w.mu is held.
func (w *Watcher) trim() {
	var proofs []*proof
	for _, r := range w.memory.report.Repositories {
		proofs = append(proofs, newProof(r, w.memory.report.SegmentSize))
	}
	for i := len(w.archived) - 1; i > 0; i-- {
		if slices.ContainsFunc(proofs, func(p *proof) bool { return p.holds(w.archived[i]) }) {
			w.archived = append(w.archived[:0], w.archived[i:]...)
			return
		}
	}
}

// tell logs a failure once until its reason changes, and its end once. w.mu is held.
func (w *Watcher) tell(said *Reason, what string, err error) {
	reason := reasonOf(err)
	if reason == *said {
		return
	}
	*said = reason
	if err == nil {
		level.Info(w.logger).Log("msg", what+" succeeds again")
		return
	}
	words := []any{"msg", what + " failed; the page shows the last that succeeded", "reason", string(reason), "err", err}
	if lines := w.runner.lines(); lines != "" {
		words = append(words, "stderr", lines)
	}
	level.Warn(w.logger).Log(words...)
}

// reasonOf is why a look failed, empty for none.
func reasonOf(err error) Reason {
	var look *LookError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &look):
		return look.Reason
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	default:
		return ReasonFormat
	}
}
