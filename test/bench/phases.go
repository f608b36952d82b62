package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/pgvigil/pgvigil/test/exporter"
)

// warm takes turns: scrapes, the same statements bare, one by one and in a
// batch, and the same columns written.
func (b *bench) warm(ctx context.Context) error {
	for range b.sizes.turns {
		var t turn
		var err error
		t.exporter, t.server, err = b.spend(b.exporterClock, b.mainClock, func() error {
			p, err := b.scrape(ctx, b.exporter)
			b.f.wall = append(b.f.wall, p.Took)
			return err
		})
		if err != nil {
			return err
		}
		if t.bareClient, t.bareServer, err = b.spend(ownTime, b.bareClock, func() error { return b.bare.read(ctx) }); err != nil {
			return err
		}
		if t.batchClient, t.batchServer, err = b.spend(ownTime, b.bareClock, func() error { return b.bare.readBatch(ctx) }); err != nil {
			return err
		}
		if t.write, _, err = b.spend(ownTime, b.bareClock, b.write); err != nil {
			return err
		}
		b.f.turns = append(b.f.turns, t)
	}
	var err error
	b.f.gzip, _, err = b.spend(b.exporterClock, b.mainClock, func() error {
		p, err := b.exporter.Get(ctx, "/metrics", http.Header{"Accept-Encoding": {"gzip"}})
		b.f.zipped = len(p.Body)
		return err
	})
	return err
}

// clock tells how much CPU time somebody has spent.
type clock func() (time.Duration, error)

func (b *bench) exporterClock() (time.Duration, error) { return cpuTime(b.exporter.PID()) }
func (b *bench) mainClock() (time.Duration, error)     { return cpuTime(b.main.pid) }
func (b *bench) bareClock() (time.Duration, error)     { return cpuTime(b.bare.pid) }

// settle is how long a process that has answered may still have to do.
const settle = 5 * time.Millisecond

// spend does something as often as a turn has scrapes and returns what one time
// costs by each clock.
func (b *bench) spend(client, server clock, do func() error) (onClient, onServer time.Duration, err error) {
	clocks := []clock{client, server}
	spent := make([]time.Duration, len(clocks))
	read := func(sign time.Duration) error {
		time.Sleep(settle)
		for i, c := range clocks {
			now, err := c()
			if err != nil {
				return err
			}
			spent[i] += sign * now
		}
		return nil
	}
	if err := read(-1); err != nil {
		return 0, 0, err
	}
	for range b.sizes.scrapes {
		if err := do(); err != nil {
			return 0, 0, err
		}
	}
	if err := read(+1); err != nil {
		return 0, 0, err
	}
	n := time.Duration(b.sizes.scrapes)
	return spent[0] / n, spent[1] / n, nil
}

// Pages of results that were kept, of tables and indexes; only the server's state
// is read with them. The second has few series: it tells what any page costs. The third is the first
// with the process's own metrics, which are read anew for each page of /metrics.
const (
	keptPath  = "/probe?target=kept&" + keptWanted
	smallPath = "/probe?target=kept&collect%5B%5D=xid"
	ownPath   = "/metrics?" + keptWanted

	keptWanted = "collect%5B%5D=stat_user_tables&collect%5B%5D=statio_user_tables&collect%5B%5D=stat_user_indexes&collect%5B%5D=relation_size"
)

// kept gets pages that are written from kept results only, from an exporter of
// their own that has the server both as a target and as that of /metrics.
func (b *bench) kept(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "pgvigil-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "pgvigil.yml")
	yaml := fmt.Sprintf("targets: [{name: kept, dsn: %q}]\n", b.dsn(b.server()))
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return err
	}
	e, err := b.start(ctx, b.server(), "--config.file="+file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	clock := func() (time.Duration, error) { return cpuTime(e.PID()) }
	list := []struct {
		path string
		into *pages
	}{{keptPath, &b.f.kept}, {smallPath, &b.f.small}, {ownPath, &b.f.own}}
	for _, k := range list {
		if _, err := e.Get(ctx, k.path, patient); err != nil {
			return err
		}
	}
	if err := b.stage.quiet(ctx); err != nil {
		return err
	}
	for range b.sizes.turns {
		for _, k := range list {
			spent, _, err := b.spend(clock, b.mainClock, func() error {
				p, err := e.Get(ctx, k.path, nil)
				k.into.series = p.Series()
				return err
			})
			if err != nil {
				return err
			}
			k.into.exporter = append(k.into.exporter, spent)
		}
	}
	// It is not to end in the middle of a refresh.
	return b.stage.quiet(ctx)
}

// watch is how often the exporter's sessions are counted.
const watch = 50 * time.Millisecond

// paced scrapes by a rhythm for a while, so that what is not read with the
// scrape is refreshed beside it, and counts sessions.
func (b *bench) paced(ctx context.Context) error {
	before, err := b.tally(ctx)
	if err != nil {
		return err
	}
	if err := b.watched(ctx, &b.f.sessions, b.scrapePaced); err != nil {
		return err
	}
	after, err := b.tally(ctx)
	if err != nil {
		return err
	}
	n := time.Duration(len(b.f.pacedWall))
	b.f.pacedExporter, b.f.pacedServer = (after.exporter-before.exporter)/n, (after.server-before.server)/n
	b.f.opened, b.f.openedMain = after.opened-before.opened, after.openedMain-before.openedMain
	if err := b.weigh(b.exporter); err != nil {
		return err
	}
	last, err := b.scrape(ctx, b.exporter)
	b.f.lastSeries = last.Series()
	return err
}

// weigh notes the memory of an exporter, if it is the most yet.
func (b *bench) weigh(e *exporter.Process) error {
	now, peak, err := memory(e.PID())
	b.f.rss, b.f.peak = max(b.f.rss, now), max(b.f.peak, peak)
	return err
}

// watched does something while the exporter's sessions are counted, for the most
// there have been.
func (b *bench) watched(ctx context.Context, most *int, do func(context.Context) error) error {
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var watchErr error
	wg.Go(func() { watchErr = b.watchSessions(watching, most) })
	err := do(ctx)
	stop()
	wg.Wait()
	return errors.Join(err, watchErr)
}

func (b *bench) scrapePaced(ctx context.Context) error {
	tick := time.NewTicker(b.load.pace)
	defer tick.Stop()
	for end := time.Now().Add(b.load.paced); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		p, err := b.scrape(ctx, b.exporter)
		if err != nil {
			return err
		}
		b.f.pacedWall = append(b.f.pacedWall, p.Took)
	}
	return nil
}

// watchSessions counts the exporter's sessions on the server until ctx ends.
func (b *bench) watchSessions(ctx context.Context, most *int) error {
	for ctx.Err() == nil {
		// Not under ctx: an interrupted query costs the connection.
		open, err := backendsOf(context.WithoutCancel(ctx), b.stage.observer, exporterName)
		if err != nil {
			return err
		}
		*most = max(*most, len(open))
		_ = sleep(ctx, watch) // the end of the watch is no failure
	}
	return nil
}

// tally is what has been spent and opened so far.
type tally struct {
	exporter, server   time.Duration
	opened, openedMain int
}

func (b *bench) tally(ctx context.Context) (t tally, err error) {
	time.Sleep(settle)
	if t.exporter, err = b.exporterClock(); err != nil {
		return t, err
	}
	if t.server, err = b.stage.timeOf(ctx, exporterName); err != nil {
		return t, err
	}
	for i := range b.load.databases {
		n, err := b.stage.sessionsOpened(ctx, databaseName(i))
		if err != nil {
			return t, err
		}
		t.opened += n
		if i == 0 {
			t.openedMain = n
		}
	}
	return t, nil
}

// readsSizes tells texts that ask for the size of files, which the server has to
// open for it.
var readsSizes = regexp.MustCompile(`pg_(total_relation|relation|table|indexes|database|tablespace)_size\(`)

// refresh reads bare what the exporter read beside its first scrape, over one
// kept session a database: first cold, then with everything known.
func (b *bench) refresh(ctx context.Context) error {
	b.f.bareBy = map[string]time.Duration{}
	others := b.firstTraffic.others()
	for _, database := range slices.Sorted(maps.Keys(others)) {
		if err := b.refreshDatabase(ctx, database, others[database]); err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
	}
	return nil
}

func (b *bench) refreshDatabase(ctx context.Context, database string, calls []call) (err error) {
	s, err := b.stage.newBare(ctx, database, calls)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.read(ctx); err != nil {
		return err
	}
	time.Sleep(settle)
	cold, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	b.f.bareCold += cold
	for _, c := range calls {
		cost, err := s.cost(ctx, c)
		if err != nil {
			return err
		}
		b.f.bareWarm += cost
		b.f.bareBy[collectorOf(c.text)] += cost
		if !readsSizes.MatchString(c.text) {
			b.f.bareNoSizes += cost
		}
	}
	return nil
}
