package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// JSON writes the report for programs.
func (r Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// How much of what has no bound is written as text; JSON has all.
const (
	mostFamilies  = 15
	mostDatabases = 20
)

// Text writes the report for a terminal, what is wrong first.
func (r Report) Text(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s: %s\n", r.Server, r.At.UTC().Format(time.RFC3339), r.Summary())
	r.problems(&b)
	r.grants(&b)
	r.connection(&b)
	if r.Identity != nil {
		r.identity(&b)
		r.databases(&b)
		r.collectors(&b)
		r.cost(&b)
		r.series(&b)
		r.budget(&b)
	}
	for line := range strings.Lines(b.String()) {
		// What is aligned ends in blanks where cells are empty.
		if _, err := io.WriteString(w, strings.TrimRight(line, " \n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Summary is the report in a line.
func (r Report) Summary() string {
	if r.Identity == nil {
		return "no session"
	}
	parts := []string{"PostgreSQL " + r.Identity.Version + ", " + r.Identity.Role}
	if !r.Up {
		parts = append(parts, "no session now")
	}
	for _, state := range []scrape.Outcome{scrape.Works, scrape.Fails, scrape.Expired, scrape.Waits} {
		if n := r.count(string(state)); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if n := r.count(string(scrape.Skipped)); n > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped, %d of them for want of a grant", n, r.denied()))
	}
	if n := r.count(Off); n > 0 {
		parts = append(parts, fmt.Sprintf("%d off", n))
	}
	return strings.Join(parts, "; ")
}

func (r Report) count(state string) (n int) {
	for _, c := range r.Collectors {
		if c.State == state {
			n++
		}
	}
	return n
}

// denied counts the collectors that a grant would cure.
func (r Report) denied() (n int) {
	for _, c := range r.Collectors {
		if c.State == string(scrape.Skipped) && c.Why == string(scrape.SkipPrivilege) {
			n++
		}
	}
	return n
}

func (r Report) problems(b *bytes.Buffer) {
	if len(r.Problems) == 0 {
		return
	}
	b.WriteString("\nWhat stands out\n")
	for _, p := range r.Problems {
		fmt.Fprintf(b, "  - %s\n", p.What)
		if p.Do != "" {
			fmt.Fprintf(b, "    %s\n", p.Do)
		}
	}
}

func (r Report) grants(b *bytes.Buffer) {
	if len(r.Grants)+len(r.Hidden) == 0 {
		return
	}
	b.WriteString("\nGrants that would show more" + r.where() + "\n")
	for _, g := range r.Grants {
		fmt.Fprintf(b, "  %s;%s\n    for %s\n", g.Statement, in(g.Databases), strings.Join(g.Collectors, ", "))
	}
	for _, h := range r.Hidden {
		fmt.Fprintf(b, "  %s;\n    for %s %s\n", h.Cure, number(int(h.Count)), h.What)
	}
}

// where says that a standby takes no grants.
func (r Report) where() string {
	if r.Identity != nil && r.Identity.Role == "standby" {
		return ", to be given on the primary"
	}
	return ""
}

// in is a comment behind a statement that has to be executed in certain databases.
func in(databases []string) string {
	if len(databases) == 0 {
		return ""
	}
	return "  -- in " + strings.Join(few(databases, mostDatabases), ", ")
}

// few cuts a list that nobody would read.
func few(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("and %d more", len(list)-most))
}

// rows writes lines of two columns.
func rows(b *bytes.Buffer, title string, lines [][2]string) {
	b.WriteString("\n" + title + "\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		if l[1] != "" {
			fmt.Fprintf(t, "  %s\t%s\n", l[0], l[1])
		}
	}
	// Its writer is a buffer.
	_ = t.Flush()
}

func (r Report) connection(b *bytes.Buffer) { rows(b, "Connection", r.Connection.Rows(r.Cost)) }

// Rows are what there is to say about the way, for people.
func (c Connection) Rows(cost Cost) [][2]string {
	lines := [][2]string{{"address", c.Address}}
	if c.Dialled != "" && c.Dialled != c.Address {
		lines = append(lines, [2]string{"dialled", c.Dialled})
	}
	if c.Attempts > 1 {
		lines = append(lines, [2]string{"attempts", fmt.Sprintf("%d, the last of which is told here", c.Attempts)})
	}
	for _, s := range c.Steps {
		took := Seconds(s.Took)
		if s.Failed {
			took = "failed"
		}
		lines = append(lines, [2]string{s.Name, took})
	}
	encryption := "none"
	if c.TLS != nil {
		encryption = c.TLS.Version + ", " + c.TLS.Cipher
		if !c.TLS.NotAfter.IsZero() {
			encryption += ", certificate until " + c.TLS.NotAfter.UTC().Format(time.DateOnly)
		}
	}
	if c.Reason == "" || c.TLS != nil {
		lines = append(lines, [2]string{"encryption", encryption})
	}
	if c.Pooler != nil {
		lines = append(lines, [2]string{"pooler", map[bool]string{true: "one is between", false: "none seen"}[*c.Pooler]})
	}
	if c.Backend != "" && c.Backend != c.Dialled {
		lines = append(lines, [2]string{"server's own address", c.Backend})
	}
	if c.RoundTrip > 0 {
		lines = append(lines,
			[2]string{"round trip", Seconds(c.RoundTrip)},
			[2]string{"server's clock", fmt.Sprintf("%s, give or take %s", ahead(c.Clock), Seconds(c.Doubt))})
	}
	return append(lines, [2]string{"sessions", fmt.Sprintf("%d open of at most %d", cost.Sessions, cost.SessionsMax)})
}

// ahead says where the server's clock is.
func ahead(offset float64) string {
	if offset < 0 {
		return Seconds(-offset) + " behind ours"
	}
	return Seconds(offset) + " ahead of ours"
}

func (r Report) identity(b *bytes.Buffer) {
	rows(b, "Server", r.IdentityRows())
	rows(b, "Role", r.Role.Rows())
}

// IdentityRows are which server answers, for people.
func (r Report) IdentityRows() [][2]string {
	id := r.Identity
	timeline := ""
	if id.Timeline > 0 {
		timeline = strconv.Itoa(id.Timeline)
	}
	return [][2]string{
		{"version", id.Version}, {"role", id.Role}, {"system identifier", id.System}, {"timeline", timeline},
		{"started", id.Started.UTC().Format(time.RFC3339)}, {"database", id.Database},
	}
}

// Rows are who we are, for people.
func (r *Role) Rows() [][2]string {
	name := r.Name
	if r.Superuser {
		name += ", a superuser"
	}
	return [][2]string{{"name", name}, {"has", strings.Join(r.Has, ", ")}, {"lacks", strings.Join(r.Lacks, ", ")}}
}

func (r Report) databases(b *bytes.Buffer) {
	if len(r.Databases) == 0 {
		return
	}
	lines := make([][2]string, 0, len(r.Databases))
	for _, d := range r.Databases[:min(len(r.Databases), mostDatabases)] {
		lines = append(lines, [2]string{d.Name, d.Says()})
	}
	if more := len(r.Databases) - len(lines); more > 0 {
		lines = append(lines, [2]string{"...", fmt.Sprintf("and %d more", more)})
	}
	rows(b, "Databases", lines)
}

// Says is what there is to say about a database.
func (d Database) Says() string {
	var extensions []string
	for _, name := range slices.Sorted(maps.Keys(d.Extensions)) {
		extensions = append(extensions, name+" "+d.Extensions[name])
	}
	switch {
	case d.Unread != "":
		return "not read: " + d.Unread
	case d.Extensions == nil:
		return "not looked into yet"
	}
	return strings.Join(extensions, ", ")
}

func (r Report) collectors(b *bytes.Buffer) {
	b.WriteString("\nCollectors, by what is wrong and what they cost\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  collector\tstate\tevery\tage\tseries\tbudget\trows\tserver\there\tserver an hour\twhy")
	for _, c := range r.Collectors {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", c.Name, c.State, strings.Join(c.Numbers(), "\t"), c.Because())
	}
	// Its writer is a buffer.
	_ = t.Flush()
	r.faults(b)
}

// faults are the last errors of collectors that work again; those of the others stand
// out above.
func (r Report) faults(b *bytes.Buffer) {
	var lines [][2]string
	for _, c := range r.Collectors {
		for _, run := range c.Runs {
			if run.Fault == "" || run.State == string(scrape.Fails) {
				continue
			}
			name := c.Name
			if run.Database != "" {
				name += " in " + postgres.QuoteIdent(run.Database)
			}
			lines = append(lines, [2]string{name, fmt.Sprintf("%s: %s", run.Failed.UTC().Format(time.RFC3339), run.Fault)})
		}
	}
	if len(lines) > 0 {
		rows(b, "Last errors of what does not fail now", lines[:min(len(lines), mostDatabases)])
	}
}

// Ran reports whether there are numbers of the collector.
func (c Collector) Ran() bool {
	return c.State != Off && c.State != string(scrape.Skipped) && c.State != string(scrape.Waits)
}

// Numbers are those of a table, each blank where there was no run: rhythm, age, series,
// budget, rows, server, here, server an hour.
func (c Collector) Numbers() []string {
	if !c.Ran() {
		return make([]string, 8)
	}
	return []string{
		c.Rhythm(), c.Age(), number(c.Series), c.Room(), number(c.Rows), Seconds(c.Server), Seconds(c.Here), Seconds(c.ServerAnHour),
	}
}

// Because is the reason of the state, and what would change it.
func (c Collector) Because() string {
	if c.Why != "" && c.Cure != "" {
		return c.Why + ": " + c.Cure
	}
	return c.Why + c.Cure
}

// Rhythm is how often the collector runs, and how often it was to.
func (c Collector) Rhythm() string {
	switch {
	case c.Every == 0:
		return "scrape"
	case c.Every > 1.05*c.Declared:
		return Duration(c.Every) + " for " + Duration(c.Declared)
	}
	return Duration(c.Every)
}

// Age is that of the oldest result, "-" where there is none.
func (c Collector) Age() string {
	oldest := 0.0
	for _, run := range c.Runs {
		oldest = max(oldest, run.Age)
	}
	switch {
	case oldest == 0:
		return "-"
	case oldest < 1:
		return "0s"
	}
	return Duration(oldest)
}

// Room is the budget, and how much of it the largest run takes.
func (c Collector) Room() string {
	if c.Budget == 0 {
		return "-"
	}
	return fmt.Sprintf("%s, %.0f %%", number(c.Budget), 100*c.Full)
}

func (r Report) cost(b *bytes.Buffer) { rows(b, "Cost", r.Cost.Rows()) }

// Rows are what it costs, for people.
func (c Cost) Rows() [][2]string {
	return [][2]string{
		{"on the server", fmt.Sprintf("%s an hour, %s %% of a core at most, with a scrape every %s", Seconds(c.ServerAnHour), percent(c.Share), Duration(c.Interval))},
		{"rows here", Seconds(c.HereAnHour) + " an hour"},
	}
}

func percent(ratio float64) string { return strconv.FormatFloat(100*ratio, 'f', 2, 64) }

func (r Report) series(b *bytes.Buffer) {
	lines := [][2]string{{"all", number(r.Series.Total)}}
	for _, f := range r.Series.Families[:min(len(r.Series.Families), mostFamilies)] {
		lines = append(lines, [2]string{f.Name, number(f.Series)})
	}
	if more := len(r.Series.Families) - mostFamilies; more > 0 {
		lines = append(lines, [2]string{"...", fmt.Sprintf("and %d more metrics", more)})
	}
	rows(b, "Series, without pgvigil's own", lines)
}

func (r Report) budget(b *bytes.Buffer) {
	if r.Budget == nil {
		return
	}
	lines := [][2]string{{"all", r.Budget.Says()}}
	for _, c := range r.Budget.Changes {
		lines = append(lines, [2]string{c.Collector, c.Says()})
	}
	rows(b, "With --series.max="+strconv.Itoa(r.Budget.MaxSeries), lines)
}

// Says is the sum.
func (b Budget) Says() string {
	return fmt.Sprintf("%s series instead of %s", number(b.After), number(b.Before))
}

// Says is what becomes of the collector.
func (c Change) Says() string {
	if c.LeftOut != "" {
		return fmt.Sprintf("none instead of %s: %s", number(c.Before), c.LeftOut)
	}
	return fmt.Sprintf("%s instead of %s, with %s label sets in other instead of %s", number(c.After), number(c.Before), number(c.FoldedAfter), number(c.FoldedBefore))
}

// number writes a count with blanks between thousands.
func number(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Seconds writes a short time as people read it.
func Seconds(s float64) string {
	switch {
	case s == 0:
		return "0"
	case s < 0.001:
		return strconv.FormatFloat(s*1e6, 'f', 0, 64) + " µs"
	case s < 0.01:
		return strconv.FormatFloat(s*1e3, 'f', 1, 64) + " ms"
	case s < 1:
		return strconv.FormatFloat(s*1e3, 'f', 0, 64) + " ms"
	case s < 120:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return Duration(s)
}

// Duration writes a rhythm or an age, as 5m or 1h30m.
func Duration(s float64) string {
	if s < 1 {
		return strconv.FormatFloat(s, 'f', 1, 64) + "s"
	}
	text := time.Duration(math.Round(s) * float64(time.Second)).String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}
