package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/explain"
	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const explainPath = "/explain"

// explainTimeout bounds one answer, waiting for a session included.
const explainTimeout = 20 * time.Second

// observed is an engine, and the server whose budget of sessions it lives on.
type observed struct {
	*scrape.Engine
	server *postgres.Server
	watch  func(database string) bool
	turn   chan struct{}    // full while a statement is explained
	member *patroni.Watcher // of the cluster that the server is of; nil where nobody has said
}

// Close ends all that looks at the server.
func (o *observed) Close() {
	if o.member != nil {
		o.member.Close()
	}
	o.Engine.Close()
}

// errTurn says that a statement is being explained already.
var errTurn = errors.New("another statement of this server is being explained: try again")

// explain explains a statement, if no other is being explained.
func (o *observed) explain(ctx context.Context, req explain.Request) (*explain.Report, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	default:
		return nil, errTurn
	}
	return explain.Explain(ctx, o.server, req, explain.Options{Watch: o.watch})
}

// explain answers /explain.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	// What it shows was written by users of the database.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Accept")
	a := explainAnswer{w: w}
	if !s.opt.Explain {
		a.fail(http.StatusNotFound, "plans are not shown: start pgvigil with --web.enable-explain")
		return
	}
	query := r.URL.Query()
	for name, values := range query {
		switch name {
		case "queryid", "target", "database", "user", "format":
		default:
			a.fail(http.StatusBadRequest, "only queryid, target, database, user and format can be asked for")
			return
		}
		if len(values) > 1 {
			a.fail(http.StatusBadRequest, name+" is there several times: ask for one statement at a time")
			return
		}
	}
	switch format := query.Get("format"); format {
	case "":
		a.json = strings.Contains(r.Header.Get("Accept"), "application/json")
	case "text", "json":
		a.json = format == "json"
	default:
		a.fail(http.StatusBadRequest, "format is neither text nor json")
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	s.explained(r.Context(), a, query.Get("target"), explain.Request{
		QueryID: query.Get("queryid"), Database: query.Get("database"), User: query.Get("user"),
	})
}

// explained answers a request that is well formed.
func (s *Server) explained(ctx context.Context, a explainAnswer, target string, req explain.Request) {
	l, err := s.pool.borrow(target)
	switch {
	case errors.Is(err, errUnknown):
		a.fail(http.StatusNotFound, unknownServer(target))
		return
	case errors.Is(err, errClosed):
		a.fail(http.StatusServiceUnavailable, err.Error())
		return
	case err != nil:
		level.Error(s.opt.Logger).Log("msg", "target cannot be watched", "err", err)
		a.fail(http.StatusInternalServerError, err.Error())
		return
	}
	defer s.pool.giveBack(l)
	asked := l.asked(target)
	o, ok := asked.(*observed)
	switch {
	case asked == nil:
		a.fail(http.StatusNotFound, unknownServer(target))
		return
	case !ok:
		a.fail(http.StatusBadRequest, "the target is no PostgreSQL server")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	report, err := o.explain(ctx, req)
	// A writer that knows no deadline is a test's.
	_ = http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	var refusal *explain.Refusal
	switch {
	case errors.Is(err, errTurn):
		a.w.Header().Set("Retry-After", "1")
		a.fail(http.StatusTooManyRequests, err.Error())
	case errors.As(err, &refusal):
		level.Debug(s.opt.Logger).Log("msg", "statement not explained", "target", target, "reason", refusal.Reason, "err", err)
		a.fail(explainStatus(refusal.Reason), err.Error())
	case err != nil:
		level.Warn(s.opt.Logger).Log("msg", "statement not explained", "target", target, "err", err)
		a.fail(http.StatusInternalServerError, "the statement could not be explained: see the log")
	default:
		level.Info(s.opt.Logger).Log("msg", "statement explained", "target", target, "queryid", req.QueryID)
		a.report(report)
	}
}

// unknownServer does not repeat the name that was asked for: people put passwords there.
func unknownServer(target string) string {
	if target == "" {
		return "no server is given by the environment: ask " + explainPath + "?queryid=ID&target=NAME; the page / lists the names"
	}
	return "no target of that name is in the configuration file; the page / lists the names"
}

// explainStatus is how HTTP says why a statement is not explained.
func explainStatus(reason explain.Reason) int {
	switch reason {
	case explain.ReasonRequest:
		return http.StatusBadRequest
	case explain.ReasonUnknown:
		return http.StatusNotFound
	case explain.ReasonAmbiguous:
		return http.StatusConflict
	case explain.ReasonBusy:
		return http.StatusServiceUnavailable
	case explain.ReasonServer:
		return http.StatusBadGateway
	default:
		return http.StatusUnprocessableEntity
	}
}

// explainAnswer is an answer in one of two formats.
type explainAnswer struct {
	w    http.ResponseWriter
	json bool
}

func (a explainAnswer) contentType() string {
	if a.json {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// fail answers why there is no plan.
func (a explainAnswer) fail(status int, why string) {
	text := []byte(why)
	if a.json {
		// A text can always be marshalled.
		text, _ = json.Marshal(map[string]string{"error": why})
	}
	a.send(status, append(text, '\n'))
}

// report answers what there is to say about a statement.
func (a explainAnswer) report(r *explain.Report) {
	var b bytes.Buffer
	write := r.WriteText
	if a.json {
		write = r.WriteJSON
	}
	if err := write(&b); err != nil {
		a.fail(http.StatusInternalServerError, err.Error())
		return
	}
	a.send(http.StatusOK, b.Bytes())
}

func (a explainAnswer) send(status int, text []byte) {
	a.w.Header().Set("Content-Type", a.contentType())
	a.w.WriteHeader(status)
	// A client that is gone needs no answer.
	_, _ = a.w.Write(text)
}
