package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// sizes are how much is measured. A turn is some scrapes, then the same reads
// bare, then the same pages written: a machine that slows down slows them all.
type sizes struct {
	turns, scrapes int
	counted        int
	lifted         int           // scrapes of whole pages, at most
	liftedFor      time.Duration // which take this long at most
}

func plan(quick bool) sizes {
	if quick {
		return sizes{turns: 5, scrapes: 5, counted: 2, lifted: 20, liftedFor: 10 * time.Second}
	}
	return sizes{turns: 20, scrapes: 10, counted: 5, lifted: 200, liftedFor: time.Minute}
}

// bench measures one workload, phase by phase.
type bench struct {
	stage  *stage
	load   workload
	sizes  sizes
	binary string

	firstTraffic traffic // of the first scrape
	calls        []call  // of a warm scrape
	columns      []page.Family

	exporter *exporter.Process
	main     backend // the exporter's lasting session
	bare     *bare
	f        figures
}

// start runs an exporter, the server at host:port.
func (b *bench) start(ctx context.Context, server string, args ...string) (*exporter.Process, error) {
	address, err := exporter.FreeAddress()
	if err != nil {
		return nil, err
	}
	return exporter.Start(ctx, b.binary, address, b.dsn(server), append(b.load.flags(), args...)...)
}

// dsn logs in as the README's role to the server at host:port.
func (b *bench) dsn(server string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", pgtest.Monitor, server, mainDatabase)
}

func (b *bench) server() string {
	return net.JoinHostPort(b.stage.server.Host(), strconv.Itoa(b.stage.server.Port()))
}

// patient has a scrape wait for all that there is to read: the first of a large
// server takes longer than the ten seconds it has without the header.
var patient = http.Header{"X-Prometheus-Scrape-Timeout-Seconds": {"60"}}

// scrape gets a page and insists that the server was up.
func (b *bench) scrape(ctx context.Context, e *exporter.Process) (exporter.Page, error) {
	p, err := e.Get(ctx, "/metrics", patient)
	if err != nil {
		return p, err
	}
	if up, _ := p.Value("pg_up"); up != 1 {
		return p, errors.New("the page says pg_up 0")
	}
	return p, nil
}

// look scrapes and keeps nothing of the page.
func (b *bench) look(ctx context.Context, e *exporter.Process) error {
	_, _, err := e.Drain(ctx, "/metrics", patient)
	return err
}

// count scrapes through a wire and notes what one warm scrape sends, and which
// texts.
func (b *bench) count(ctx context.Context) (err error) {
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
	if err := b.look(ctx, e); err != nil {
		return err
	}
	if err := b.stage.quiet(ctx); err != nil {
		return err
	}
	b.firstTraffic = w.take()
	for range b.sizes.counted {
		if err := b.look(ctx, e); err != nil {
			return err
		}
		// The least: beside another something may have been refreshed.
		if t := w.take(); b.calls == nil || t.statements < b.f.counted.statements {
			b.calls, b.f.counted = t.lasting(), t
		}
	}
	return nil
}

// first starts the exporter that all that follows is measured on. Its first
// scrape opens sessions and waits until everything has been read once.
func (b *bench) first(ctx context.Context) error {
	if err := b.stage.awaitGone(ctx); err != nil {
		return err
	}
	served, err := b.stage.timeOf(ctx, exporterName)
	if err != nil {
		return err
	}
	if b.exporter, err = b.start(ctx, b.server()); err != nil {
		return err
	}
	var p exporter.Page
	err = b.watched(ctx, &b.f.sessions, func(ctx context.Context) (err error) {
		if p, err = b.scrape(ctx, b.exporter); err != nil {
			return err
		}
		return b.stage.quiet(ctx)
	})
	if err != nil {
		return err
	}
	now, err := b.stage.timeOf(ctx, exporterName)
	if err != nil {
		return err
	}
	b.f.firstWall, b.f.firstServer = p.Took, now-served
	if b.f.firstExporter, err = cpuTime(b.exporter.PID()); err != nil {
		return err
	}
	if p, err = b.scrape(ctx, b.exporter); err != nil {
		return err
	}
	b.f.families, b.f.series, b.f.bytes = p.Families(), p.Series(), len(p.Body)
	for _, n := range p.Samples("pgvigil_collector_folded") {
		b.f.folded += int(n)
	}
	open, err := b.stage.backends(ctx, exporterName)
	if err != nil {
		return err
	}
	if len(open) == 0 || open[0].database != mainDatabase {
		return errors.New("the exporter has no session on the maintenance database")
	}
	b.main = open[0]
	b.bare, err = b.stage.newBare(ctx, mainDatabase, b.calls)
	return err
}

// stop ends what the phases left running.
func (b *bench) stop(ctx context.Context) error {
	var err error
	if b.bare != nil {
		err = b.bare.close(ctx)
		b.bare = nil
	}
	if b.exporter != nil {
		err = errors.Join(err, b.exporter.Stop())
		b.exporter = nil
	}
	return err
}
