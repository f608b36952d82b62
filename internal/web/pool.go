package web

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// pool holds the targets that may be asked for, and an engine for each that has
// been asked for lately. The server of /metrics is the target without a name: it
// keeps its engine, and no reload touches it.
type pool struct {
	ctx     context.Context // of the engines, which end by Close
	watch   Watch
	logger  log.Logger
	lent    sync.WaitGroup // requests that use an engine
	closing sync.WaitGroup // engines on their way out

	mu      sync.Mutex
	closed  bool
	targets []*target // in the order of the file, the one without a name first
}

// target is a server that may be asked for.
type target struct {
	config.Target
	enabled map[string]bool // collectors, by flag

	// The pool's lock guards these.
	engine *scrape.Engine // nil until somebody asks
	users  int            // requests that use the engine now
	used   time.Time      // when the last of them was done
	gone   bool           // no longer in the pool: the last user closes the engine
}

func newPool(ctx context.Context, watch Watch, logger log.Logger, main *config.Target) *pool {
	p := &pool{ctx: ctx, watch: watch, logger: logger}
	if main != nil {
		p.targets = append(p.targets, p.add(*main))
	}
	return p
}

func (p *pool) add(t config.Target) *target {
	return &target{Target: t, enabled: p.watch.enabled(t)}
}

// set replaces all targets that have a name. Those written as before keep their
// engines, with all that these have seen.
func (p *pool) set(targets []config.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.targets
	p.targets = nil
	if main := find(before, ""); main != nil {
		p.targets = append(p.targets, main)
	}
	for _, t := range targets {
		same := find(before, t.Name)
		if same == nil || !same.Equal(t) {
			same = p.add(t)
		}
		p.targets = append(p.targets, same)
	}
	for _, t := range before {
		if find(p.targets, t.Name) != t {
			t.gone = true
			p.closeUnused(t)
		}
	}
}

func find(targets []*target, name string) *target {
	for _, t := range targets {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// list returns the targets.
func (p *pool) list() []config.Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]config.Target, len(p.targets))
	for i, t := range p.targets {
		list[i] = t.Target
	}
	return list
}

// Why a target cannot be borrowed.
var (
	errUnknown = errors.New("no such target")
	errClosed  = errors.New("pgvigil is ending")
)

// borrow returns a target and keeps its engine open until it is given back.
func (p *pool) borrow(name string) (*target, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := find(p.targets, name)
	switch {
	case p.closed:
		return nil, errClosed
	case t == nil:
		return nil, errUnknown
	}
	if t.engine == nil {
		engine, err := p.watch.open(p.ctx, t.Target, p.logger)
		if err != nil {
			return nil, fmt.Errorf("watch target %q: %w", name, err)
		}
		t.engine = engine
	}
	t.users++
	p.lent.Add(1)
	return t, nil
}

// giveBack ends what borrow began.
func (p *pool) giveBack(t *target) {
	defer p.lent.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	t.users--
	t.used = time.Now()
	if t.gone {
		p.closeUnused(t)
	}
}

// letGo closes the engines that nobody has asked for since the given time.
func (p *pool) letGo(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.targets {
		if t.Name != "" && t.engine != nil && t.users == 0 && t.used.Before(since) {
			level.Info(p.logger).Log("msg", "nobody asks for the target any more: its sessions are closed", "target", t.Name)
			p.closeUnused(t)
		}
	}
}

// closeUnused closes the target's engine unless a request uses it; the caller
// holds the lock. Goodbyes may take seconds, so nobody waits here.
func (p *pool) closeUnused(t *target) {
	if t.users > 0 || t.engine == nil {
		return
	}
	p.closing.Go(t.engine.Close)
	t.engine = nil
}

// close closes all engines, also those in use, and waits for them and their users.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.targets {
		if t.engine != nil {
			p.closing.Go(t.engine.Close)
			t.engine = nil
		}
	}
	p.mu.Unlock()
	p.lent.Wait()
	p.closing.Wait()
}
