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
)

// pool holds the targets that may be asked for, and a source for each that has
// been asked for lately. The server of /metrics is the target without a name: it
// keeps its engine, and no reload touches it.
type pool struct {
	ctx     context.Context // of the sources, which end by Close
	watch   Watch
	logger  log.Logger
	lent    sync.WaitGroup // requests that use a source
	closing sync.WaitGroup // sources on their way out

	mu      sync.Mutex
	closed  bool
	targets []*target // in the order of the file, the one without a name first
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
// sources, with all that these have seen.
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

// borrow returns what the page of a target is made of, the poolers shown there
// included, and keeps it open until it is given back.
func (p *pool) borrow(name string) (*lent, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := p.on(name)
	switch {
	case p.closed:
		return nil, errClosed
	case len(wanted) == 0:
		return nil, errUnknown
	}
	l := &lent{enabled: wanted[0].enabled}
	for _, t := range wanted {
		if t.source == nil {
			source, err := p.watch.open(p.ctx, t.Target, p.logger)
			if err != nil {
				return nil, fmt.Errorf("watch target %q: %w", t.Name, err)
			}
			t.source = source
		}
		l.targets, l.sources = append(l.targets, t), append(l.sources, t.source)
	}
	for _, t := range l.targets {
		t.users++
	}
	p.lent.Add(1)
	return l, nil
}

// on lists the targets that the page of a name is of; the caller holds the lock.
func (p *pool) on(name string) []*target {
	var on []*target
	if t := find(p.targets, name); t != nil {
		on = append(on, t)
	}
	for _, t := range p.targets {
		if t.ShownOn(name) {
			on = append(on, t)
		}
	}
	return on
}

// giveBack ends what borrow began.
func (p *pool) giveBack(l *lent) {
	defer p.lent.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range l.targets {
		t.users--
		t.used = time.Now()
		if t.gone {
			p.closeUnused(t)
		}
	}
}

// letGo closes the sources that nobody has asked for since the given time.
func (p *pool) letGo(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.targets {
		if t.Name != "" && t.source != nil && t.users == 0 && t.used.Before(since) {
			level.Info(p.logger).Log("msg", "nobody asks for the target any more: its sessions are closed", "target", t.Name)
			p.closeUnused(t)
		}
	}
}

// closeUnused closes the target's source unless a request uses it; the caller
// holds the lock. Goodbyes may take seconds, so nobody waits here.
func (p *pool) closeUnused(t *target) {
	if t.users > 0 || t.source == nil {
		return
	}
	p.closing.Go(t.source.Close)
	t.source = nil
}

// close closes all sources, also those in use, and waits for them and their users.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.targets {
		if t.source != nil {
			p.closing.Go(t.source.Close)
			t.source = nil
		}
	}
	p.mu.Unlock()
	p.lent.Wait()
	p.closing.Wait()
}
