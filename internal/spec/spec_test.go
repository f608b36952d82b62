package spec_test

import (
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func TestPaced(t *testing.T) {
	given := []spec.Collector{
		{Name: "scrape"},
		{Name: "minute", Cost: spec.Cost{Every: time.Minute}},
		{Name: "hour", Cost: spec.Cost{Every: time.Hour}, Follow: &spec.Follow{For: 24 * time.Hour}},
		{Name: "shown", Cost: spec.Cost{Every: time.Hour}, Follow: &spec.Follow{}},
	}
	paced := spec.Paced(given, 0.01)
	for i, want := range []struct{ every, holds time.Duration }{
		{0, 0}, {time.Second, 0}, {36 * time.Second, 864 * time.Second}, {36 * time.Second, 0},
	} {
		c := paced[i]
		if c.Cost.Every != want.every || c.Follow != nil && c.Follow.For != want.holds {
			t.Errorf("%s: every %v, follows %+v; want %v and %v", c.Name, c.Cost.Every, c.Follow, want.every, want.holds)
		}
	}
	if given[2].Cost.Every != time.Hour || given[2].Follow.For != 24*time.Hour {
		t.Error("what was given has changed")
	}
}
