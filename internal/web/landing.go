package web

import (
	"bytes"
	"net/http"
	"net/url"

	"github.com/go-kit/log/level"
	"github.com/prometheus/common/version"

	"github.com/pgvigil/pgvigil/internal/config"
)

// landing is what the page / shows.
type landing struct {
	Version string
	Metrics string // where the process's own metrics are
	Main    bool   // whether they stand below those of a server
	Servers []listed
	Shown   []string // poolers on the page of the process's own metrics
	Explain []string // servers whose statements are explained; the one of the environment has no name
}

// listed is a server on the page /.
type listed struct {
	Name, Kind, Address, Link string
	Readiness, Collectors     string // empty where there is no such page
}

// landingPage answers /. Its links are relative: a proxy may have put us
// somewhere below its own root.
func (s *Server) landingPage(w http.ResponseWriter, _ *http.Request) {
	metrics := "." + s.opt.MetricsPath
	data := landing{Version: version.Version, Metrics: metrics}
	for _, t := range s.pool.list() {
		at := listed{Name: t.Name, Kind: t.Kind.String(), Address: t.Conn.Address(), Link: metrics}
		if t.Name == "" {
			data.Main = true
		} else {
			at.Link = "." + probePath + "?target=" + url.QueryEscape(t.Name)
		}
		if t.Kind == config.PostgreSQL {
			at.Readiness = "." + readinessPath + queryOf(t.Name)
			at.Collectors = "." + collectorsPath + queryOf(t.Name)
		}
		data.Servers = append(data.Servers, at)
		if s.opt.Explain && t.Kind == config.PostgreSQL {
			data.Explain = append(data.Explain, t.Name)
		}
		if t.ShownOn("") {
			data.Shown = append(data.Shown, t.Name)
		}
	}
	var b bytes.Buffer
	if err := s.landing.Execute(&b, data); err != nil {
		level.Error(s.opt.Logger).Log("msg", "landing page not made", "err", err)
		http.Error(w, "the page could not be made: see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	// A client that is gone needs no answer.
	_, _ = w.Write(b.Bytes())
}
