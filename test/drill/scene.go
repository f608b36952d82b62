package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// A member is a server and the exporter that watches it.
type member struct {
	*pgtest.Server
	name string // its label instance

	address string // of the exporter, which keeps it
	args    []string

	idle atomic.Bool // the load does not write

	mu       sync.Mutex
	exporter *exporter.Process
}

// scene is what drills break: servers of four clusters, with all that belongs to them.
//
//	orders   a primary, a standby, and a standby of that one, over links that can be cut
//	shop     a server alone, with TLS
//	stock    a server alone, and a pooler before it
//	ledger   a server that pgBackRest archives and backs up
type scene struct {
	dir, binary string
	bin         pgtest.Binaries
	mon         *monitor

	orders [3]*member
	links  [2]*link // from orders[1] to orders[0], from orders[2] to orders[1]
	shop   *member
	stock  *member
	pooler *pgtest.Pooler
	ledger *member
	backup *pgtest.PgBackRest

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// The major of each cluster: they differ, to see more of them.
const (
	ordersMajor = 17
	shopMajor   = 18
	stockMajor  = 16
)

// common are settings of all servers, timeouts in the time of drills.
func common(more map[string]string) map[string]string {
	set := map[string]string{
		"autovacuum_naptime":           "2s",
		"checkpoint_timeout":           "30s",
		"max_wal_size":                 "256MB",
		"wal_receiver_timeout":         "2s",
		"wal_sender_timeout":           "2s",
		"wal_receiver_status_interval": "1s",
		"archive_mode":                 "off",
	}
	for name, value := range more {
		set[name] = value
	}
	return set
}

var checksums = []string{"-E", "UTF8", "--locale=C.UTF-8", "--data-checksums"}

// build starts the servers of these lanes, pooler, exporters and a small load, and has
// all watched. What breaks the monitoring wants all of them.
func build(ctx context.Context, mon *monitor, dir string, lanes map[lane]bool) (_ *scene, err error) {
	s := &scene{dir: dir, mon: mon}
	if s.bin, err = pgtest.Find(); err != nil {
		return nil, err
	}
	work, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("build the scene: %w", err), s.stop())
		}
	}()
	if s.binary, err = exporter.Build(ctx, dir); err != nil {
		return nil, err
	}
	for _, cluster := range []struct {
		lane lane
		open func(context.Context) error
	}{{orders, s.openOrders}, {shop, s.openShop}, {stock, s.openStock}, {ledger, s.openLedger}} {
		if !lanes[cluster.lane] && !lanes[watching] {
			continue
		}
		if err := cluster.open(ctx); err != nil {
			return nil, err
		}
	}
	for _, m := range s.members() {
		if err := s.watch(ctx, m); err != nil {
			return nil, err
		}
	}
	for _, m := range []*member{s.orders[0], s.shop, s.stock, s.ledger} {
		if m == nil {
			continue
		}
		if err := prepare(ctx, m); err != nil {
			return nil, err
		}
		s.wg.Go(func() { write(work, m) })
	}
	return s, nil
}

func (s *scene) members() (list []*member) {
	for _, m := range append(s.orders[:], s.shop, s.stock, s.ledger) {
		if m != nil {
			list = append(list, m)
		}
	}
	return list
}

func (s *scene) openOrders(ctx context.Context) error {
	for i := range s.orders {
		opt := pgtest.Options{InitDB: checksums, Settings: common(map[string]string{"max_wal_size": "64MB"})}
		if i > 0 {
			up := s.orders[i-1].Server
			k, err := openLink(up.Port())
			if err != nil {
				return err
			}
			s.links[i-1] = k
			opt.StandbyOf, opt.Link = up, k.port()
		}
		srv, err := pgtest.Start(ctx, s.bin, ordersMajor, opt)
		if err != nil {
			return err
		}
		s.orders[i] = &member{Server: srv, name: fmt.Sprintf("orders-%d", i+1)}
	}
	return nil
}

func (s *scene) openShop(ctx context.Context) error {
	srv, err := pgtest.Start(ctx, s.bin, shopMajor, pgtest.Options{InitDB: checksums, TLS: true, Settings: common(map[string]string{
		"autovacuum_freeze_max_age": "100000", // the least, to get there within a drill
	})})
	s.shop = &member{Server: srv, name: "shop-1"}
	return err
}

func (s *scene) openStock(ctx context.Context) error {
	srv, err := pgtest.Start(ctx, s.bin, stockMajor, pgtest.Options{InitDB: checksums, Settings: common(nil)})
	if err != nil {
		return err
	}
	s.stock = &member{Server: srv, name: "stock-1"}
	if err := s.stock.sql(ctx, "CREATE ROLE "+poolerRole+" LOGIN"); err != nil {
		return err
	}
	s.pooler, err = pgtest.StartPooler(ctx, pgtest.PoolerOptions{
		Databases: map[string]string{"postgres": fmt.Sprintf("host=%s port=%d dbname=postgres user=%s pool_size=2", srv.Host(), srv.Port(), poolerRole)},
		// Of times PgBouncer's own, scaled.
		Settings: map[string]string{"max_client_conn": strconv.Itoa(poolerClients), "query_wait_timeout": "4", "server_login_retry": "0.5"},
	})
	return err
}

func (s *scene) openLedger(ctx context.Context) (err error) {
	if s.backup, err = pgtest.StartPgBackRest(ctx, s.bin, pgtest.PgBackRestMajor, 1); err != nil {
		return err
	}
	s.ledger = &member{Server: s.backup.Server, name: "ledger-1"}
	_, err = s.backup.Do(ctx, "--type=full", "backup")
	return err
}

// watch starts the exporter of a member and has Prometheus scrape it.
func (s *scene) watch(ctx context.Context, m *member) (err error) {
	if m.address, err = exporter.FreeAddress(); err != nil {
		return err
	}
	cluster, _, _ := strings.Cut(m.name, "-")
	targets := []target{{m.address, "/metrics", "", cluster, m.name}}
	config := ""
	switch m {
	case s.stock:
		config = fmt.Sprintf("targets:\n  - {name: pooler, kind: pgbouncer, dsn: %q}\n", s.pooler.DSN(pgtest.PoolerStats, "pgbouncer"))
		targets = append(targets, target{m.address, "/probe", "pooler", cluster, "stock-pooler"})
	case s.ledger:
		if err := errors.Join(s.tellDump(time.Now()), s.tellRestore(time.Now())); err != nil {
			return err
		}
		config = s.backups(pgBackRestSource, dumpSource, restoreSource)
	}
	m.args = []string{
		fmt.Sprintf("--rhythm.scale=%g", scale), "--governor.share=1", "--scrape.timeout-offset=0.1s",
	}
	if config != "" {
		if err := s.configure(m, config); err != nil {
			return err
		}
		m.args = append(m.args, "--config.file="+s.configFile(m))
	}
	if err := s.startExporter(ctx, m); err != nil {
		return err
	}
	return s.mon.watch(targets...)
}

func (s *scene) configFile(m *member) string { return filepath.Join(s.dir, m.name+".yml") }

// configure writes the configuration file of a member's exporter.
func (s *scene) configure(m *member, text string) error {
	return os.WriteFile(s.configFile(m), []byte(text), 0o600)
}

// startExporter starts the exporter of a member, again too. It outlives ctx.
func (s *scene) startExporter(ctx context.Context, m *member) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exporter, err = exporter.Start(context.WithoutCancel(ctx), s.binary, m.address, m.DSN(pgtest.Monitor, "postgres"), m.args...)
	return err
}

// stopExporter ends it.
func (m *member) stopExporter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.exporter == nil {
		return nil
	}
	err := m.exporter.Stop()
	m.exporter = nil
	return err
}

// stop ends what there is.
func (s *scene) stop() error {
	s.cancel()
	s.wg.Wait()
	var err error
	for _, m := range s.members() {
		err = errors.Join(err, m.stopExporter())
	}
	if s.pooler != nil {
		err = errors.Join(err, s.pooler.Stop())
	}
	for _, m := range []*member{s.orders[2], s.orders[1], s.orders[0], s.shop, s.stock} {
		if m != nil && m.Server != nil {
			err = errors.Join(err, m.Server.Stop())
		}
	}
	for _, k := range s.links {
		if k != nil {
			err = errors.Join(err, k.close())
		}
	}
	if s.backup != nil {
		err = errors.Join(err, s.backup.Stop())
	}
	return err
}

// sql runs statements on a member as the superuser, each by itself.
func (m *member) sql(ctx context.Context, statements ...string) error {
	return m.sqlIn(ctx, "postgres", statements...)
}

func (m *member) sqlIn(ctx context.Context, database string, statements ...string) (err error) {
	conn, err := pgx.Connect(ctx, m.DSN(pgtest.Superuser, database))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", m.name, err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			return fmt.Errorf("%s: %s: %w", m.name, statement, err)
		}
	}
	return nil
}

// prepare makes what the load works on.
func prepare(ctx context.Context, m *member) error {
	return m.sql(ctx,
		"CREATE EXTENSION IF NOT EXISTS pg_stat_statements",
		"GRANT pg_read_all_data TO "+pgtest.Monitor, // for bloat and sequences
		"CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50)",
		"INSERT INTO accounts (id) SELECT generate_series(1, 1000)",
		"ANALYZE accounts")
}

// write is the load: ten small transactions a second, for as long as the server takes
// them. It goes on when a server comes back.
func write(ctx context.Context, m *member) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var conn *pgx.Conn
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			if conn != nil {
				conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is the end
			}
			return
		case <-tick.C:
		}
		if m.idle.Load() {
			continue
		}
		if conn == nil || conn.IsClosed() {
			conn, _ = pgx.Connect(ctx, m.DSN(pgtest.Superuser, "postgres")) // next time, else
			continue
		}
		_, _ = conn.Exec(ctx, "UPDATE accounts SET balance = balance + 1 WHERE id = $1", 1+n%1000) // a fault's business
	}
}
