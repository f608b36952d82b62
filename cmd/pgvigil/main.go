// Pgvigil is a Prometheus exporter for PostgreSQL.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/catalog"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/internal/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal of who will not wait kills.
	context.AfterFunc(ctx, stop)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}

	err := run(ctx, hangup, commands(), os.Args[1:], outside{os.Getenv, os.Stdout, os.Stderr})
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "pgvigil:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	var verdict *verdictError
	if errors.As(err, &verdict) {
		os.Exit(3)
	}
	os.Exit(1)
}

// gcPercent is what the heap may grow by before it is collected. What an exporter
// keeps of a large server it keeps for hours, and that memory is worth more than
// the little CPU time it takes to have less of it.
const gcPercent = 40

// run is the whole program: one of the commands, or the exporter, which returns when
// ctx ends. Each hangup is a wish to reload.
func run(ctx context.Context, hangup <-chan os.Signal, all []command, args []string, out outside) error {
	if c, ok := commandOf(all, args); ok {
		return c.run(ctx, out, args[1:])
	}
	collectors := collector.All()
	if err := spec.ValidateAll(collectors); err != nil {
		return fmt.Errorf("check the collectors: %w", err)
	}
	f, err := parseFlags(args, collectors, all, out.stdout)
	switch {
	case err != nil:
		return err
	case f.answered:
		return nil
	case f.sqlDump != "":
		return catalog.DumpSQL(f.sqlDump, collectors)
	}
	logger := f.log.logger(out.stderr)
	opt, err := options(f, collectors, out.getenv, logger)
	if err != nil {
		return err
	}
	if f.check {
		return check(f, opt, out.stdout)
	}
	level.Info(logger).Log("msg", "starting pgvigil", "version", version.Version, "revision", version.GetRevision(), "go", version.GoVersion)
	server, err := web.New(ctx, opt)
	if err != nil {
		return err
	}
	defer server.Close()
	if opt.Main == nil && opt.Load == nil {
		level.Warn(logger).Log("msg", "no server is watched: set DATA_SOURCE_NAME or DATA_SOURCE_URI, or name servers in the file of --config.file")
	}
	return server.Serve(ctx, f.web, hangup)
}

// options joins what flags, environment and file say.
func options(f *flags, collectors []spec.Collector, getenv func(string) string, logger log.Logger) (web.Options, error) {
	opt := web.Options{
		Watch: f.watch, MetricsPath: f.metricsPath, TimeoutOffset: f.timeoutOffset, Explain: f.explain,
		JudgeEvery: time.Duration(f.rhythm * float64(web.DefaultJudgeEvery)), Logger: logger,
	}
	main, ok, err := config.Environment(getenv)
	if err != nil {
		return opt, err
	}
	if ok {
		opt.Main = &main
	}
	if f.configFile != "" {
		names := flagNames(collectors)
		opt.Load = func() (config.File, error) { return config.Load(f.configFile, names) }
	}
	return opt, nil
}

// check is --config.check.
func check(f *flags, opt web.Options, stdout io.Writer) error {
	if err := toolkit.Validate(*f.web.WebConfigFile); err != nil {
		return fmt.Errorf("%s: %w", *f.web.WebConfigFile, err)
	}
	var file config.File
	if opt.Load != nil {
		var err error
		if file, err = opt.Load(); err != nil {
			return err
		}
	}
	for _, warning := range file.Warnings {
		fmt.Fprintln(stdout, "warning:", warning)
	}
	servers := file.Targets
	if opt.Main != nil {
		servers = slices.Insert(servers, 0, *opt.Main)
	}
	fmt.Fprintf(stdout, "the configuration is good, servers: %d\n", len(servers))
	return nil
}
