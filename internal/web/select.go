package web

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/pgvigil/pgvigil/internal/scrape"
)

// selection reads collect[] and exclude[], which mean what they mean to
// node_exporter: only these, or all but these, of the collectors that are on.
func (s *Server) selection(query url.Values, enabled map[string]bool) (scrape.Selection, error) {
	collect, exclude := query["collect[]"], query["exclude[]"]
	if len(collect) > 0 && len(exclude) > 0 {
		return scrape.Selection{}, errors.New("collect[] and exclude[] cannot be combined: use one of them")
	}
	for _, flag := range slices.Concat(collect, exclude) {
		if !s.opt.Watch.knows(flag) {
			return scrape.Selection{}, fmt.Errorf("unknown collector %q", flag)
		}
	}
	for _, flag := range collect {
		if !enabled[flag] {
			return scrape.Selection{}, fmt.Errorf("collector %q is switched off: --collector.%s switches it on", flag, flag)
		}
	}
	if len(collect)+len(exclude) == 0 {
		return scrape.Selection{}, nil
	}
	var wanted []string
	for flag, on := range enabled {
		if on && (slices.Contains(collect, flag) || len(collect) == 0 && !slices.Contains(exclude, flag)) {
			wanted = append(wanted, flag)
		}
	}
	slices.Sort(wanted)
	return scrape.Selection{
		Key:  "only " + strings.Join(wanted, ","), // equal sets share a run, however they were asked for
		Want: func(flag string) bool { return slices.Contains(wanted, flag) },
	}, nil
}
