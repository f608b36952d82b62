package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/internal/web"
)

const defaultAddress = ":9187"

const about = `A Prometheus exporter for PostgreSQL.

The environment names the server of /metrics: DATA_SOURCE_NAME is a connection string, or DATA_SOURCE_URI is host:port/database, with DATA_SOURCE_USER and DATA_SOURCE_PASS. Each of them with _FILE after it names a file instead, which is read again at each connect. More servers are named by the file of --config.file and answer at /probe?target=NAME.

Each flag has a variable, too: --web.listen-address is PGVIGIL_WEB_LISTEN_ADDRESS, --no-collector.wal is PGVIGIL_COLLECTOR_WAL=false. Values of a flag that may be repeated are put on separate lines.`

// flags are what the command line says, checked.
type flags struct {
	answered      bool // the answer was printed: --help or --version
	check         bool
	explain       bool
	configFile    string
	metricsPath   string
	timeoutOffset time.Duration
	rhythm        float64
	watch         web.Watch
	web           *toolkit.FlagConfig
	sqlDump       string
	log           logging
}

// usageError is a fault of the command line or of the variables of flags.
type usageError struct {
	err     error
	command string // "" is the exporter
}

// Error tells the fault and where help is.
func (e *usageError) Error() string {
	program := "pgvigil"
	if e.command != "" {
		program += " " + e.command
	}
	return e.err.Error() + "; see " + program + " --help"
}

// Unwrap returns the fault.
func (e *usageError) Unwrap() error { return e.err }

// parseFlags reads the command line, and the variables of flags that it does not have.
func parseFlags(args []string, collectors []spec.Collector, all []command, stdout io.Writer) (*flags, error) {
	f := &flags{watch: web.Watch{Collectors: collectors, Enabled: map[string]bool{}, Limits: map[string]int{}}}
	app := kingpin.New("pgvigil", about)
	app.DefaultEnvars().UsageWriter(stdout).UsageTemplate(usageTemplate).UsageFuncs(usageFuncs(all))
	app.Terminate(func(int) { f.answered = true })
	app.HelpFlag.Short('h').Help("Print this and exit.").NoEnvar()
	printVersion := app.Flag("version", "Print the version and exit.").NoEnvar().Bool()
	// An argument that is no flag may be a connection string, which must not be shown.
	stray := app.Arg("", "").Hidden().Strings()
	f.serverFlags(app)
	f.webFlags(app)
	f.collectorFlags(app, collectors)

	if _, err := app.Parse(args); err != nil {
		return nil, &usageError{err: err}
	}
	f.watch.Collectors = spec.Paced(collectors, f.rhythm)
	switch {
	case *printVersion && !f.answered:
		fmt.Fprintln(stdout, version.Print("pgvigil"))
		f.answered = true
	case len(*stray) > 0:
		return nil, &usageError{err: errors.New("an argument is no flag, and the first is no command: a connection string goes into DATA_SOURCE_NAME, where no list of processes shows it")}
	}
	return f, nil
}

// serverFlags are about which servers are watched and how.
func (f *flags) serverFlags(app *kingpin.Application) {
	app.Flag("config.file", "YAML file that names the targets of /probe; SIGHUP or POST /-/reload reads it again.").PlaceHolder("FILE").StringVar(&f.configFile)
	app.Flag("config.check", "Check the configuration without a connect, and exit.").NoEnvar().BoolVar(&f.check)
	f.databaseFlags(app)
	set(app, "connect.timeout", "Time to connect within.", postgres.DefaultConnectTimeout.String(), &f.watch.ConnectTimeout, positive)
	set(app, "scrape.timeout-offset", "Time taken off Prometheus' own scrape timeout, so that the page arrives within it.", "0.5s", &f.timeoutOffset, notNegative)
	f.rhythmFlags(app)
	app.Flag("series.max", "Most series of a server that each collector may give, instead of its own budget; 0 lifts all budgets.").PlaceHolder("N").
		SetValue(&value[int]{name: "series.max", into: &f.watch.MaxSeries, parse: budget})
	f.log.flags(app)
	app.Flag("sql.dump", "Write each collector's SQL to DIR/MAJOR/COLLECTOR.sql, ready for psql, and exit.").NoEnvar().PlaceHolder("DIR").StringVar(&f.sqlDump)
}

// databaseFlags are about where collectors run, and within how many sessions.
func (f *flags) databaseFlags(app *kingpin.Application) {
	databases := func(name, help string, into *[]string) {
		app.Flag(name, help).PlaceHolder("REGEXP").SetValue(&patterns{name: name, into: into})
	}
	databases("databases.include", "Databases to watch, by regular expressions that match the whole name; repeatable; all without.", &f.watch.Databases.Include)
	databases("databases.exclude", "Databases not to watch, in the same way; repeatable.", &f.watch.Databases.Exclude)
	set(app, "sessions.max", "Most sessions ever open at once on a server.", strconv.Itoa(postgres.DefaultSessions), &f.watch.Sessions.Max,
		atLeast(postgres.MinSessions, "one session lasts, and slow collectors need another"))
	set(app, "sessions.max-age", "Age at which a session is replaced by a new one.", "1h", &f.watch.Sessions.MaxAge, positive)
}

// rhythmFlags are about how often collectors run that do not run with each scrape.
func (f *flags) rhythmFlags(app *kingpin.Application) {
	set(app, "governor.share", "Part of one core of the server that a collector which does not run with each scrape may take; those with a rhythm of minutes take no more than that together.",
		strconv.FormatFloat(scrape.DefaultShare, 'g', -1, 64), &f.watch.Share, share)
	set(app, "rhythm.scale", "Factor on the time between two runs of each collector that does not run with each scrape, and between two judgements of readiness.", "1", &f.rhythm, factor)
}

// webFlags are about what listens.
func (f *flags) webFlags(app *kingpin.Application) {
	set(app, "web.telemetry-path", "Path of the page of metrics.", web.DefaultMetricsPath, &f.metricsPath, func(s string) (string, error) {
		return s, web.CheckMetricsPath(s)
	})
	app.Flag("web.enable-explain", "Answer /explain?queryid=ID with the plan of a statement of pg_stat_statements, without executing it.").BoolVar(&f.explain)
	f.web = kingpinflag.AddFlags(app, defaultAddress)
	// The toolkit's texts are written for Markdown.
	app.GetFlag("web.listen-address").Help("Address to listen on, :9187 or [::1]:9187; repeatable.")
	app.GetFlag("web.config.file").PlaceHolder("FILE").Help("YAML file of exporter-toolkit that switches on TLS or basic authentication.")
	if systemd := app.GetFlag("web.systemd-socket"); systemd != nil {
		systemd.Help("Listen on the sockets systemd hands over.")
	}
}

// collectorFlags are two for each flag that a collector names: one that switches
// it, and one that bounds it if it has a bound that may be chosen.
func (f *flags) collectorFlags(app *kingpin.Application, collectors []spec.Collector) {
	for _, name := range flagNames(collectors) {
		for _, c := range collectors {
			if c.Name != name {
				continue
			}
			f.watch.Enabled[name] = c.Default
			app.Flag("collector."+name, c.About).Default(strconv.FormatBool(c.Default)).
				SetValue(&switched{name: "collector." + name, key: name, into: f.watch.Enabled})
		}
		i := slices.IndexFunc(collectors, func(c spec.Collector) bool { return c.Flag() == name && c.Fold != nil })
		if i >= 0 {
			limit := "collector." + name + ".limit"
			app.Flag(limit, "Rows to show; the rest is added up in one labelled other. 0 shows all.").
				PlaceHolder(strconv.Itoa(collectors[i].Fold.Limit)).
				SetValue(&bound{name: limit, key: name, into: f.watch.Limits})
		}
	}
}

// flagNames returns the names that collectors are switched by, in order.
func flagNames(collectors []spec.Collector) []string {
	var names []string
	for _, c := range collectors {
		names = append(names, c.Flag())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// set adds a flag with a default, whose errors name it.
func set[T any](app *kingpin.Application, name, help, otherwise string, into *T, parse func(string) (T, error)) {
	app.Flag(name, help).Default(otherwise).SetValue(&value[T]{name: name, into: into, parse: parse})
}

func positive(s string) (time.Duration, error) {
	d, err := config.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration: write a number and a unit, such as 30s, 15m or 1h", s)
	}
	return d, nil
}

func notNegative(s string) (time.Duration, error) {
	if d, err := config.ParseDuration(s); err == nil && d == 0 {
		return 0, nil
	}
	return positive(s)
}

func atLeast(least int, why string) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least {
			return 0, fmt.Errorf("%q is not a number of at least %d: %s", s, least, why)
		}
		return n, nil
	}
}

// budget reads a number of series; none at all is what 0 asks for.
func budget(s string) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n < 0 || n > maxBudget:
		return 0, fmt.Errorf("%q is not a number of series: write one from 1 to %d, or 0 to lift all budgets", s, maxBudget)
	case n == 0:
		return -1, nil
	}
	return n, nil
}

// maxBudget is more than Prometheus takes of one target.
const maxBudget = 100_000_000

func share(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0 && v <= 1) {
		return 0, fmt.Errorf("%q is not a part of one core: write a number above 0 and up to 1, such as 0.01 for one percent", s)
	}
	return v, nil
}

// factor reads by how much rhythms are stretched.
func factor(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0.001 && v <= 1000) {
		return 0, fmt.Errorf("%q is not a factor: write a number from 0.001 to 1000, such as 2 for half as often", s)
	}
	return v, nil
}

func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
		}
		return s, nil
	}
}

func regular(s string) (string, error) {
	_, err := regexp.Compile(s)
	return s, err
}

// usageTemplate lists the flags by what they are about. kingpin's own shows a
// hundred in one row, each with its variable.
const usageTemplate = `usage: {{.App.Name}} [flags]{{if commands}}
       {{.App.Name}} COMMAND [flags] ...; each has its own --help{{end}}

{{.App.Help|Wrap 0}}{{if commands}}
Commands:
{{commands|FormatTwoColumns}}
{{- end}}{{range sections .Context.Flags}}
{{.Title}}:
{{.Rows|FormatTwoColumns}}
{{- end}}`

// section is a part of the usage.
type section struct {
	Title string
	Rows  [][2]string
}

func usageFuncs(all []command) template.FuncMap {
	var rows [][2]string
	for _, c := range all {
		rows = append(rows, [2]string{c.name, c.about})
	}
	return template.FuncMap{"commands": func() [][2]string { return rows }, "sections": func(all []*kingpin.FlagModel) []section {
		sections := []section{{Title: "Servers"}, {Title: "Web"}, {Title: "Collectors (--no-collector.NAME switches one off)"}, {Title: "Other"}}
		at := map[string]int{"config": 0, "databases": 0, "sessions": 0, "connect": 0, "scrape": 0, "governor": 0, "series": 0, "web": 1, "collector": 2}
		for _, f := range all {
			prefix, _, _ := strings.Cut(f.Name, ".")
			i, ok := at[prefix]
			if !ok {
				i = 3
			}
			if !f.Hidden {
				sections[i].Rows = append(sections[i].Rows, [2]string{written(f), f.Help + standing(f)})
			}
		}
		return sections
	}}
}

// written returns a flag as it is typed.
func written(f *kingpin.FlagModel) string {
	switch {
	case f.Short != 0:
		return "-" + string(f.Short) + ", --" + f.Name
	case !f.IsBoolFlag():
		return "--" + f.Name + "=" + f.FormatPlaceHolder()
	default:
		return "--" + f.Name
	}
}

// standing tells collectors that are off from those that are on.
func standing(f *kingpin.FlagModel) string {
	if strings.HasPrefix(f.Name, "collector.") && f.IsBoolFlag() && f.Default[0] == "false" {
		return " Off by default."
	}
	return ""
}
