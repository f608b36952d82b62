package web

import (
	"context"
	stdlog "log"
	"log/slog"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"
)

// newSlog returns the logger in the form the toolkit wants.
func newSlog(logger log.Logger) *slog.Logger {
	// Which levels are shown, the logger itself decides.
	return slog.New(unstamped{sloggokit.NewGoKitHandler(logger, slog.LevelDebug)})
}

// unstamped leaves out the time and the caller, which our logger adds as it likes.
type unstamped struct{ slog.Handler }

// Handle passes the record on.
func (h unstamped) Handle(ctx context.Context, r slog.Record) error {
	r.Time, r.PC = time.Time{}, 0
	return h.Handler.Handle(ctx, r)
}

// newErrorLog returns the logger in the form net/http wants.
func newErrorLog(logger log.Logger) *stdlog.Logger {
	return stdlog.New(log.NewStdlibAdapter(level.Debug(logger)), "", 0)
}
