// Command all writes all.go, the table of contents of package collector, given the
// package's directory. It does not import the package, which may not compile without.
package main

import (
	"fmt"
	"os"

	"github.com/pgvigil/pgvigil/internal/catalog"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: all DIR")
	}
	source, err := catalog.Table(os.DirFS(args[0]))
	if err != nil {
		return err
	}
	return os.WriteFile(args[0]+"/all.go", source, 0o644)
}
