package web

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// set replaces all targets that have a name, and the sources of backups. What is
// written as before keeps its source, with all that this has seen.
func (p *pool) set(targets []config.Target, sources []config.Backup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.targets
	p.targets = nil
	if main := find(before, ""); main != nil {
		p.targets = append(p.targets, main)
	}
	for _, t := range targets {
		p.targets = append(p.targets, keep(before, p.add(t)))
	}
	for _, together := range byPage(sources) {
		p.targets = append(p.targets, keep(before, &target{backups: together, enabled: p.watch.enabled(config.Target{})}))
	}
	for _, t := range before {
		if !slices.Contains(p.targets, t) {
			t.gone = true
			p.closeUnused(t)
		}
	}
}

// keep returns the target that was written like this one before, or else this one.
func keep(before []*target, t *target) *target {
	if i := slices.IndexFunc(before, t.same); i >= 0 {
		return before[i]
	}
	return t
}

func find(targets []*target, name string) *target {
	for _, t := range targets {
		if t.is(name) {
			return t
		}
	}
	return nil
}

// list returns the servers and poolers.
func (p *pool) list() []config.Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []config.Target
	for _, t := range p.targets {
		if t.backups == nil {
			list = append(list, t.Target)
		}
	}
	return list
}

// Why a target cannot be borrowed.
var (
	errUnknown = errors.New("no such target")
	errClosed  = errors.New("pgvigil is ending")
)

// borrow returns what the page of a target is made of, poolers and backups shown
// there included, and keeps it open until it is given back.
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
			source, err := p.open(t)
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

// open returns what scrapes a target. Nothing is sent to a server yet.
func (p *pool) open(t *target) (source, error) {
	if t.backups != nil {
		return p.watch.openBackups(p.ctx, t.backups, p.logger), nil
	}
	return p.watch.open(p.ctx, t.Target, p.logger)
}

// on lists the targets that the page of a name is of; the caller holds the lock.
func (p *pool) on(name string) []*target {
	var on []*target
	if t := find(p.targets, name); t != nil {
		on = append(on, t)
	}
	for _, t := range p.targets {
		if t.shownOn(name) {
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
		if !t.is("") && t.source != nil && t.users == 0 && t.used.Before(since) {
			level.Info(p.logger).Log("msg", "nobody asks for the page any more: what it took is closed", "target", t.name())
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
