package main

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestLive checks the mixin on the oldest and the newest major.
func TestLive(t *testing.T) {
	pgtest.Program(t, "prometheus")
	program := os.Getenv("JSONNET")
	if program == "" {
		program = "jsonnet"
	}
	_, noServers := pgtest.Find()
	_, noJsonnet := exec.LookPath(program) // make tools builds it
	switch err := errors.Join(noServers, noJsonnet); {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	// Its last line is for test/report, so it goes out as it is.
	if err := run(t.Context(), os.Stdout, "../..", []int{13, 18}); err != nil {
		t.Error(err)
	}
}

func TestFill(t *testing.T) {
	got := fill(`label_replace(rate(a{job=~"x", cluster=~"$cluster", pg_cluster=~"${pg_cluster:regex}", datname=~"$datname"}[$__rate_interval]), "to", "$1", "from", "(.+)")`, "pg18")
	want := `label_replace(rate(a{job=~"x", cluster=~"live", pg_cluster=~"pg18", datname=~".+"}[1m]), "to", "$1", "from", "(.+)")`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
