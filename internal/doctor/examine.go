package doctor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Examine makes a report.
func Examine(f Findings) Report {
	e := f.Engine
	r := Report{
		Server: f.Server, At: e.At, Up: e.Up, Connection: connection(f), Hidden: hidden(e),
		Databases: databases(e), Grants: grants(e), Collectors: []Collector{}, Series: Series{Families: []Family{}},
		Cost: Cost{Interval: f.Interval.Seconds(), Sessions: e.Stats.Open, SessionsMax: e.Stats.Limit},
	}
	if e.Facts.Version != "" {
		r.Identity = &Identity{
			Version: e.Facts.Version, Role: e.State.Role.String(), System: e.Facts.SystemIdentifier,
			Timeline: int(sum(e, "pg_server_timeline")), Started: e.State.StartTime, Database: e.Facts.Database,
		}
		r.Role = role(f)
	}
	all := slices.Concat(e.Collectors, f.Beside)
	for _, c := range all {
		one := collector(c, e.At, f.Interval)
		r.Collectors = append(r.Collectors, one)
		r.Cost.ServerAnHour += one.ServerAnHour
		r.Cost.HereAnHour += one.HereAnHour
		r.Series.add(c)
	}
	for _, c := range f.Off {
		r.Collectors = append(r.Collectors, Collector{Name: c.Name, Flag: c.Flag(), State: Off, Cure: "--collector." + c.Flag(), Declared: c.Cost.Every.Seconds(), Runs: []Run{}})
	}
	r.Cost.Share = r.Cost.ServerAnHour / time.Hour.Seconds()
	slices.SortStableFunc(r.Collectors, func(a, b Collector) int {
		return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(b.ServerAnHour, a.ServerAnHour), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(r.Series.Families, func(a, b Family) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Name, b.Name))
	})
	if f.Trial != nil {
		r.Budget = budget(all, *f.Trial)
	}
	r.Problems = problems(f, r)
	return r
}

// connection is the way, by the connect that was followed, or by the last scrape.
func connection(f Findings) Connection {
	e := f.Engine
	c := Connection{Address: e.Address, Reason: string(e.Reason), Fault: e.Fault}
	agreed := e.TLS
	step := postgres.Step("")
	if d := f.Diagnosis; d != nil {
		c.Dialled, c.Attempts, c.Backend = d.Address, d.Attempts, d.Server
		for _, s := range d.Steps {
			c.Steps = append(c.Steps, Step{Name: string(s.Step), Took: s.Took.Seconds()})
		}
		if d.Failed != "" {
			step = d.Failed
			c.Steps = append(c.Steps, Step{Name: string(step), Failed: true})
			c.Reason, c.Fault = string(d.Reason), d.Err
		} else {
			agreed = d.TLS
			c.Pooler = &d.Pooler
			c.RoundTrip, c.Clock, c.Doubt = d.RoundTrip.Seconds(), d.Clock.Seconds(), d.Doubt.Seconds()
		}
	}
	if c.Reason != "" {
		c.Advice = wayOut(postgres.Reason(c.Reason), step, c.Fault)
	}
	if agreed != nil {
		c.TLS = &TLS{Version: agreed.Version, Cipher: agreed.Cipher, NotAfter: agreed.NotAfter}
	}
	return c
}

// role is who we are. Without a connect of our own it is known of those roles only that
// collectors need.
func role(f Findings) *Role {
	facts := f.Engine.Facts
	r := &Role{Name: facts.User, Superuser: facts.Superuser, Has: []string{}, Lacks: []string{}}
	for name, access := range facts.Roles {
		switch access {
		case postgres.Allowed:
			r.Has = append(r.Has, name)
		case postgres.Denied:
			r.Lacks = append(r.Lacks, name)
		}
	}
	if f.Diagnosis != nil && f.Diagnosis.Failed == "" {
		r.Has = append([]string{}, f.Diagnosis.Roles...)
	}
	slices.Sort(r.Has)
	slices.Sort(r.Lacks)
	return r
}

// databases are those of the server, and why some are not read.
func databases(e scrape.Report) []Database {
	list := []Database{}
	for _, db := range e.Databases {
		d := Database{Name: db.Name}
		switch {
		case !db.Watched:
			d.Unread = "excluded by configuration"
		case !db.Connect:
			d.Unread = "the role may not connect"
		default:
			d.Unread = lost(e, db.Name)
		}
		if db.Extensions != nil {
			d.Extensions = map[string]string{}
		}
		for name, ext := range db.Extensions {
			d.Extensions[name] = ext.Version.String()
		}
		list = append(list, d)
	}
	return list
}

// lost is why no session could be had on a database, if none could.
func lost(e scrape.Report, database string) string {
	for _, c := range e.Collectors {
		for _, run := range c.Runs {
			if run.Database == database && run.Reason == postgres.ReasonConnection {
				return run.Fault
			}
		}
	}
	return ""
}

// grants are the statements that skipped collectors want, and those that let the role
// into databases, each with all that it cures.
func grants(e scrape.Report) []Grant {
	list := []Grant{}
	note := func(statement, database, collector string) {
		i := slices.IndexFunc(list, func(g Grant) bool { return g.Statement == statement })
		if i < 0 {
			i = len(list)
			list = append(list, Grant{Statement: statement})
		}
		g := &list[i]
		if database != "" && !slices.Contains(g.Databases, database) {
			g.Databases = append(g.Databases, database)
		}
		if !slices.Contains(g.Collectors, collector) {
			g.Collectors = append(g.Collectors, collector)
		}
	}
	for _, c := range e.Collectors {
		for _, run := range c.Runs {
			if run.Outcome != scrape.Skipped || run.Skip != scrape.SkipPrivilege || run.Cure == "" {
				continue
			}
			database := run.CureIn
			// Membership in a role is the whole server's; what is granted on an object
			// is a database's, though the object be one of pg_catalog.
			if !strings.Contains(run.Cure, " ON ") {
				database = ""
			}
			note(run.Cure, database, c.Collector.Name)
		}
	}
	for i := range list {
		slices.Sort(list[i].Collectors)
	}
	slices.SortStableFunc(list, func(a, b Grant) int { return len(b.Collectors) - len(a.Collectors) })
	// Where the role may not go, collectors lack a database and not all.
	for _, db := range e.Databases {
		if !db.Watched || db.Connect {
			continue
		}
		for _, c := range e.Collectors {
			if c.Collector.Scope == spec.PerDatabase {
				note(fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s", postgres.QuoteIdent(db.Name), postgres.QuoteIdent(e.Facts.User)), "", c.Collector.Name)
			}
		}
	}
	return list
}

// hidden is what the collectors themselves count as hidden from the role.
func hidden(e scrape.Report) []Hidden {
	list := []Hidden{}
	cure := "GRANT pg_read_all_data TO " + postgres.QuoteIdent(e.Facts.User)
	if e.Facts.Major < 14 {
		cure = "GRANT SELECT ON them TO " + postgres.QuoteIdent(e.Facts.User)
	}
	for _, h := range []struct{ metric, what string }{
		{"pg_bloat_table_hidden", "tables whose bloat is not estimated"},
		{"pg_bloat_index_hidden", "indexes whose bloat is not estimated"},
		{"pg_sequences_hidden", "sequences whose position is not known"},
	} {
		if n := sum(e, h.metric); n > 0 {
			list = append(list, Hidden{What: h.what, Count: n, Cure: cure})
		}
	}
	return list
}

// sum adds up a metric.
func sum(e scrape.Report, metric string) (sum float64) {
	for _, c := range e.Collectors {
		for _, f := range c.Families {
			if f.Name == metric {
				f.Each(func(_ map[string]string, v float64) { sum += v })
			}
		}
	}
	return sum
}

// collector is what became of one, over all databases.
func collector(c scrape.CollectorReport, now time.Time, interval time.Duration) Collector {
	one := Collector{
		Name: c.Collector.Name, Flag: c.Collector.Flag(), State: string(scrape.Waits),
		Declared: c.Collector.Cost.Every.Seconds(), Every: c.Rhythm.Seconds(), Runs: []Run{},
	}
	if c.MaxSeries < math.MaxInt {
		one.Budget = c.MaxSeries
	}
	worst := -1
	for _, run := range c.Runs {
		r := runOf(c.Collector.Name, run, now)
		one.Runs = append(one.Runs, r)
		one.Series += run.Series
		one.Rows += run.Rows
		one.Folded += run.Folded
		one.Server += r.Server
		one.Here += r.Here
		if one.Budget > 0 {
			one.Full = max(one.Full, float64(run.Series)/float64(one.Budget))
		}
		if rank := severity(run.Outcome); rank > worst {
			worst = rank
			one.State, one.Why, one.Cure = r.State, r.Why, r.Cure
		}
	}
	if every := cmp.Or(c.Rhythm, interval); every > 0 {
		one.ServerAnHour = one.Server * time.Hour.Seconds() / every.Seconds()
		one.HereAnHour = one.Here * time.Hour.Seconds() / every.Seconds()
	}
	return one
}

// runOf is one run; its fault need not begin with the collector's name.
func runOf(name string, run scrape.RunReport, now time.Time) Run {
	r := Run{
		Database: run.Database, State: string(run.Outcome), Why: string(cmp.Or(postgres.Reason(run.Skip), run.Reason)), Cure: run.Cure,
		Series: run.Series, Rows: run.Rows, Missing: run.Missing, Fault: strings.TrimPrefix(run.Fault, name+": "), Failed: run.Failed,
	}
	if run.Outcome != scrape.Skipped {
		r.Server, r.Here = run.Server.Seconds(), run.Here.Seconds()
	} else {
		r.Rows = 0
	}
	if !run.Last.IsZero() {
		r.Age = max(now.Sub(run.Last).Seconds(), 0)
	}
	return r
}

// severity says which of the runs on several databases a collector is told by.
func severity(o scrape.Outcome) int {
	return slices.Index([]scrape.Outcome{scrape.Skipped, scrape.Waits, scrape.Works, scrape.Expired, scrape.Fails}, o)
}

// urgency is the order of a table of collectors.
func (c Collector) urgency() int {
	switch c.State {
	case string(scrape.Fails):
		return 0
	case string(scrape.Expired):
		return 1
	case string(scrape.Waits):
		return 3
	case string(scrape.Works):
		return 4
	case Off:
		return 6
	}
	if c.Cure != "" {
		return 2
	}
	return 5
}

// add counts what a collector shows.
func (s *Series) add(c scrape.CollectorReport) {
	for _, f := range c.Families {
		n := f.Samples()
		s.Total += n
		if n > 0 {
			s.Families = append(s.Families, Family{Name: f.Name, Collector: c.Collector.Name, Series: n})
		}
	}
}

// budget holds a scrape with another budget against the one without. What was not
// tried is as it was.
func budget(all []scrape.CollectorReport, t Trial) *Budget {
	b := &Budget{MaxSeries: max(t.MaxSeries, 0), Changes: []Change{}}
	for _, before := range all {
		was := shown(before)
		i := slices.IndexFunc(t.Collectors, func(c scrape.CollectorReport) bool { return c.Collector.Name == before.Collector.Name })
		is := was
		if i >= 0 {
			is = shown(t.Collectors[i])
		}
		b.Before += was.After
		b.After += is.After
		if was != is {
			is.Before, is.FoldedBefore = was.After, was.FoldedAfter
			b.Changes = append(b.Changes, is)
		}
	}
	slices.SortStableFunc(b.Changes, func(x, y Change) int { return (y.Before - y.After) - (x.Before - x.After) })
	return b
}

// shown is what a collector shows in a scrape.
func shown(c scrape.CollectorReport) Change {
	s := Change{Collector: c.Collector.Name}
	for _, run := range c.Runs {
		s.After += run.Series
		s.FoldedAfter += run.Folded
		if run.Outcome == scrape.Fails && run.Reason == postgres.ReasonLimit {
			s.LeftOut = sentence(s.Collector, run.Fault)
		}
	}
	return s
}

// clockBound is the offset of clocks from which it counts: ages of backups and lags are
// off by it.
const clockBound = time.Second

// problems are what stands out, the worst first.
func problems(f Findings, r Report) []Problem {
	list := []Problem{}
	add := func(do, format string, args ...any) {
		list = append(list, Problem{What: fmt.Sprintf(format, args...), Do: do})
	}
	if r.Connection.Reason != "" {
		add(r.Connection.Advice, "There is no session on the server (%s): %s.", r.Connection.Reason, strings.TrimSuffix(r.Connection.Fault, "."))
	}
	for _, c := range slices.Concat(f.Engine.Collectors, f.Beside) {
		if p, ok := failing(c); ok {
			list = append(list, p)
		}
	}
	if r.Connection.Pooler != nil && *r.Connection.Pooler {
		add("Make sure that it pools by session; connect to the server directly if you can.", "A pooler is between: another process than the backend answered the start-up.")
	}
	if offset := math.Abs(r.Connection.Clock); offset > clockBound.Seconds()+r.Connection.Doubt {
		add("Have both machines keep time by NTP.", "The server's clock is off by %s: ages and lags that are reckoned by two clocks are as wrong.", Seconds(offset))
	}
	if r.Role != nil && r.Role.Superuser {
		add("Give the exporter a role of its own: CREATE ROLE pgvigil LOGIN; GRANT pg_monitor TO pgvigil.", "The role %s is a superuser, which no metric needs.", r.Role.Name)
	} else if r.Role != nil {
		if powers := powers(r.Role.Has); len(powers) > 0 {
			add("REVOKE what it need not have.", "The role %s has rights that no metric needs: %s.", r.Role.Name, strings.Join(powers, ", "))
		}
	}
	return list
}

// powers are the predefined roles that can do harm.
func powers(has []string) []string {
	return slices.DeleteFunc(slices.Clone(has), func(name string) bool {
		switch name {
		case "pg_write_all_data", "pg_execute_server_program", "pg_write_server_files", "pg_read_server_files", "pg_signal_backend", "pg_maintain":
			return false
		}
		return true
	})
}

// sentence is a fault without the collector's name before it and the full stop behind it.
func sentence(collector, fault string) string {
	return strings.TrimSuffix(strings.TrimPrefix(fault, collector+": "), ".")
}

// failing is what to say of a collector that fails.
func failing(c scrape.CollectorReport) (Problem, bool) {
	var fails []scrape.RunReport
	for _, run := range c.Runs {
		if run.Outcome == scrape.Fails {
			fails = append(fails, run)
		}
	}
	if len(fails) == 0 {
		return Problem{}, false
	}
	where := ""
	if first := fails[0].Database; first != "" {
		where = " in database " + postgres.QuoteIdent(first)
		if len(fails) > 1 {
			where = fmt.Sprintf(" in %d of %d databases, as in %s", len(fails), len(c.Runs), postgres.QuoteIdent(first))
		}
	}
	return Problem{
		What: fmt.Sprintf("%s fails%s (%s): %s.", c.Collector.Name, where, fails[0].Reason, sentence(c.Collector.Name, fails[0].Fault)),
		Do:   remedy(c.Collector, fails[0].Reason),
	}, true
}
