package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/readiness"
)

// TestReadiness reads a section, and gives each server what is about it.
func TestReadiness(t *testing.T) {
	file, err := Load("testdata/readiness/good.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for server, want := range map[string][]string{
		"orders": {"failover_manager", "plans"}, "other": {"plans"}, "": {"plans", "hba_open"},
	} {
		opt := file.Readiness.Options(server)
		var got []string
		for _, a := range opt.Accept {
			got = append(got, a.Check)
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %q is accepted %q, want %q", server, got, want)
		}
		if diff := cmp.Diff(map[string]float64{"standbys": 2, "cache_ratio": 0.95}, opt.Limits); diff != "" {
			t.Error(diff)
		}
		if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}; !slices.Equal(opt.Networks, want) {
			t.Errorf("networks are %v", opt.Networks)
		}
		if !opt.Remote.MatchString("berlin-2") || opt.Remote.MatchString("munich") {
			t.Error("standbys elsewhere are not told by the pattern")
		}
	}
	until := time.Date(2027, time.March, 31, 0, 0, 0, 0, time.UTC)
	want := readiness.Acceptance{Check: "failover_manager", Reason: "a person decides", Until: until}
	if got := file.Readiness.Options("orders").Accept[0]; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if opt := (Readiness{}).Options("orders"); opt.Remote != nil {
		t.Error("without a pattern there is one")
	}
}

func TestReadinessErrors(t *testing.T) {
	var names []string
	for _, l := range readiness.DefaultLimits() {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	const parts = "an acceptance has no %: it has a check, a reason and the last day it holds, until"
	for name, want := range map[string][]string{
		"wrong": {
			`2: unknown key "limit" in readiness: it has the keys accept, limits, networks, remote_standby`,
			"3: standbys is not a number of at least 0: Standbys that are wanted.",
			"3: cache_ratio is not a number of at least 0: Least part of blocks that is to be found in shared buffers.",
			"3: xid_ratio is not a number of at least 0: Part of the way to wraparound from which it is long.",
			`3: unknown key "standby" in limits: it has the keys ` + strings.Join(names, ", "),
			"4: networks: not a network: write it like 10.0.0.0/8 or fd00::/8",
			"4: networks: not a network: write it like 10.0.0.0/8 or fd00::/8",
			"4: networks is not one value: put a value with special characters between single quotes",
			"5: remote_standby is not a regular expression: missing closing ): `^berlin-(`",
			"7: there is no such check: pgvigil check --list has their names",
			"8: " + strings.Replace(parts, "%", "reason", 1),
			"9: " + strings.Replace(parts, "%", "check", 1),
			"9: " + strings.Replace(parts, "%", "until", 1),
			"10: until is not a day: write it like 2027-03-31",
			"11: until is not a day: write it like 2027-03-31",
			`12: unknown key "why" in an acceptance: it has the keys check, reason, target, until`,
			"13: an acceptance is not written as key: value; it has the keys check, reason, target, until",
		},
		"target": {
			"6: target names no server: give the name of one, or /metrics",
			"7: target names no server: give the name of one, or /metrics",
		},
	} {
		path := "testdata/readiness/" + name + ".yml"
		_, err := Load(path, nil)
		if err == nil {
			t.Errorf("%s is read", path)
			continue
		}
		var text []string
		for _, line := range want {
			text = append(text, path+":"+line)
		}
		if diff := cmp.Diff(strings.Join(text, "\n"), err.Error()); diff != "" {
			t.Error(diff)
		}
	}
}
