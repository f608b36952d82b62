// Command gen writes docs/readiness.md, given the file's path.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/pgvigil/pgvigil/internal/readiness"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: gen FILE")
	}
	var b bytes.Buffer
	if err := readiness.Document(&b); err != nil {
		return err
	}
	return os.WriteFile(args[0], b.Bytes(), 0o644)
}
