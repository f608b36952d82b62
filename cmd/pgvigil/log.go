package main

import (
	"io"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// logging says what is logged and how.
type logging struct{ level, format string }

// flags adds its own.
func (l *logging) flags(app *kingpin.Application) {
	set(app, "log.level", "Least severe messages to log: debug, info, warn or error.", "info", &l.level, oneOf("debug", "info", "warn", "error"))
	set(app, "log.format", "Format of the log: logfmt or json.", "logfmt", &l.format, oneOf("logfmt", "json"))
}

// logger returns the logger that all parts of the program share.
func (l *logging) logger(stderr io.Writer) log.Logger {
	out := log.NewSyncWriter(stderr)
	logger := log.NewLogfmtLogger(out)
	if l.format == "json" {
		logger = log.NewJSONLogger(out)
	}
	// The level is one of those that the flag admits.
	logger = level.NewFilter(logger, level.Allow(level.ParseDefault(l.level, level.InfoValue())))
	now := log.TimestampFormat(func() time.Time { return time.Now().UTC() }, "2006-01-02T15:04:05.000Z07:00")
	return log.With(logger, "ts", now)
}
