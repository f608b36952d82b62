package patroni

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Answer is what became of asking.
type Answer struct {
	// At is when the member was asked; zero where no answer is fresh enough to be used.
	At time.Time
	// Cluster is what it said, where Err is nil.
	Cluster Cluster
	// Err is why it said nothing that can be used.
	Err error
}

// usableFor is for how many intervals an answer is used.
const usableFor = 3

// Watcher asks one member, and remembers what it said. Nothing is asked while nobody
// wants to know.
type Watcher struct {
	config Config
	ctx    context.Context
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu     sync.Mutex
	closed bool
	busy   bool
	began  time.Time // the last try in the background
	last   Answer
}

// New returns a Watcher that has yet to ask. Close ends it, and so does ctx, but that
// does not wait.
func New(ctx context.Context, c Config) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	return &Watcher{config: c, ctx: ctx, cancel: cancel}
}

// Close ends what is being asked, and waits for that. It may be called again.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.asking.Wait()
}

// Ask asks now, until ctx ends and for Timeout at most. Where it is ctx that ends first
// nothing is known: the answer has no time.
func (w *Watcher) Ask(ctx context.Context) Answer {
	a := Answer{At: time.Now()}
	bounded, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	client, err := NewClient(w.config)
	if err == nil {
		a.Cluster, err = Look(bounded, client, w.config.URL)
	}
	if ctx.Err() != nil {
		return Answer{}
	}
	if err != nil && bounded.Err() != nil {
		err = fmt.Errorf("no answer within %v", Timeout)
	}
	a.Err = err
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.At.After(w.last.At) {
		w.last = a
	}
	return a
}

// Last returns the last answer, unless it is older than three intervals, and begins to
// ask where the last try is an interval ago. It does not wait.
func (w *Watcher) Last(interval time.Duration) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if !w.busy && !w.closed && now.Sub(w.began) >= interval {
		w.busy, w.began = true, now
		w.asking.Go(w.askOnce)
	}
	if now.Sub(w.last.At) > usableFor*interval {
		return Answer{}
	}
	return w.last
}

// askOnce is a try in the background.
func (w *Watcher) askOnce() {
	w.Ask(w.ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
}
