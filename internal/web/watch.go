package web

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-kit/log"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/pgbouncer"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Watch says how servers are watched, where a target does not say otherwise.
type Watch struct {
	// Collectors are all there are.
	Collectors []spec.Collector
	// Enabled says which are on, by flag.
	Enabled map[string]bool
	// Limits are the label sets shown of collectors with a Fold, by flag, where
	// they differ from the declared one.
	Limits map[string]int
	// MaxSeries replaces the budgets of all collectors; negative is without bound,
	// 0 leaves each its own.
	MaxSeries int
	// Databases are those that collectors per database run in.
	Databases config.Databases
	// Sessions bound the sessions on each server.
	Sessions config.Sessions
	// ConnectTimeout bounds one connect.
	ConnectTimeout time.Duration
	// Share is the part of one core a background collector may take.
	Share float64
}

// knows reports whether there is a collector with this flag.
func (w Watch) knows(flag string) bool {
	for _, c := range w.Collectors {
		if c.Flag() == flag {
			return true
		}
	}
	return false
}

// enabled returns which collectors are on for a target, by flag.
func (w Watch) enabled(t config.Target) map[string]bool {
	on := map[string]bool{}
	for flag, enabled := range w.Enabled {
		on[flag] = enabled
	}
	for _, flag := range t.Collectors.Enable {
		on[flag] = true
	}
	for _, flag := range t.Collectors.Disable {
		on[flag] = false
	}
	return on
}

// open returns what scrapes a target. Nothing is sent yet.
func (w Watch) open(ctx context.Context, t config.Target, logger log.Logger) (source, error) {
	if t.Name != "" {
		logger = log.With(logger, "target", t.Name)
	}
	if t.Kind == config.PgBouncer {
		return w.openPooler(ctx, t, logger), nil
	}
	return w.openServer(ctx, t, logger)
}

// chosen returns the collectors of a source that are on for a target.
func (w Watch) chosen(source spec.Source, t config.Target) []spec.Collector {
	enabled := w.enabled(t)
	return slices.DeleteFunc(spec.From(source, w.Collectors), func(c spec.Collector) bool { return !enabled[c.Flag()] })
}

func (w Watch) openPooler(ctx context.Context, t config.Target, logger log.Logger) source {
	collectors := w.chosen(spec.PgBouncer, t)
	way := t.Conn.Config()
	way.ConnectTimeout = w.ConnectTimeout
	return scrape.NewPooler(ctx, pgbouncer.New(way, collectors), scrape.OutsideOptions{
		Collectors: collectors, MaxSeries: w.MaxSeries, Logger: logger,
	})
}

func (w Watch) openServer(ctx context.Context, t config.Target, logger log.Logger) (source, error) {
	collectors := w.chosen(spec.PostgreSQL, t)
	databases := w.Databases
	if !t.Databases.IsZero() {
		databases = t.Databases
	}
	watch, err := databases.Watch()
	if err != nil {
		return nil, fmt.Errorf("choose databases: %w", err)
	}
	way := t.Conn.Config()
	way.ConnectTimeout = w.ConnectTimeout
	way.MaxSessions, way.MaxAge = w.Sessions.Max, w.Sessions.MaxAge
	if t.Sessions.Max > 0 {
		way.MaxSessions = t.Sessions.Max
	}
	if t.Sessions.MaxAge > 0 {
		way.MaxAge = t.Sessions.MaxAge
	}
	way.Probe = scrape.Probe(collectors)
	server, err := postgres.New(way)
	if err != nil {
		return nil, err
	}
	engine := scrape.New(ctx, server, scrape.Options{
		Collectors: collectors, Watch: watch, Limits: w.Limits, MaxSeries: w.MaxSeries, Share: w.Share, Logger: logger,
	})
	o := &observed{Engine: engine, server: server, watch: watch, turn: make(chan struct{}, 1)}
	if t.Patroni.URL != "" {
		o.member = patroni.New(ctx, t.Patroni)
	}
	return o, nil
}
