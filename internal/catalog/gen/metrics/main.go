// Command metrics writes METRICS.md, given the file's path.
package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/catalog"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/web"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: metrics FILE")
	}
	var b bytes.Buffer
	if err := catalog.Metrics(&b, collector.All(), slices.Concat(scrape.Own(), web.Own()), collector.KeptNames()); err != nil {
		return err
	}
	return os.WriteFile(args[0], b.Bytes(), 0o644)
}
