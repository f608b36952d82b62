package scrape

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/prometheus/common/expfmt"
)

func TestSmoke(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{})
	cs := []spec.Collector{collector.StatWAL}
	s, err := postgres.New(postgres.Config{ConnString: srv.DSN("pgvigil", "postgres"), Probe: Probe(cs)})
	if err != nil {
		t.Fatal(err)
	}
	e := New(context.Background(), s, Options{Collectors: cs, Logger: log.NewLogfmtLogger(os.Stderr)})
	defer e.Close()
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
		began := time.Now()
		fams := e.Scrape(ctx, Selection{})
		fmt.Println(time.Since(began))
		cancel()
		var b bytes.Buffer
		if err := page.Write(&b, expfmt.NewFormat(expfmt.TypeTextPlain), fams, nil); err != nil {
			t.Fatal(err)
		}
		fmt.Println(b.String())
	}
}
