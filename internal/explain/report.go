package explain

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
)

// Report is all there is to say about a statement.
type Report struct {
	Entry      Entry
	Query      string // as it was planned
	Parameters []Parameter
	Plan       *Plan
	SearchPath string
	Settings   map[string]string // that count for the plan and are not PostgreSQL's defaults
	Tables     []Table
	Notes      []string // how far the plan is that of the application
	Remarks    []Remark
}

// WriteJSON writes the report as one object; PostgreSQL's own plan is in it as it is.
func (r *Report) WriteJSON(w io.Writer) error {
	var tree bytes.Buffer
	r.Plan.tree(&tree)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Statement  Entry             `json:"statement"`
		Query      string            `json:"query"`
		Parameters []Parameter       `json:"parameters"`
		SearchPath string            `json:"search_path"`
		Settings   map[string]string `json:"settings"`
		Plan       json.RawMessage   `json:"plan"`
		Tree       []string          `json:"plan_text"`
		Tables     []Table           `json:"tables"`
		Notes      []string          `json:"notes"`
		Remarks    []Remark          `json:"remarks"`
	}{
		r.Entry, r.Query, list(r.Parameters), r.SearchPath, r.Settings, r.Plan.raw,
		strings.Split(strings.TrimSuffix(tree.String(), "\n"), "\n"), list(r.Tables), list(r.Notes), list(r.Remarks),
	})
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// list makes no list an empty one.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	r.statement(&b)
	b.WriteString("\nPlan" + r.types() + "\n")
	r.indented(&b, func(w io.Writer) { r.Plan.tree(w) })
	fmt.Fprintf(&b, "\nPlanned with search_path %s%s\n", r.SearchPath, r.settings())
	if len(r.Tables) > 0 {
		b.WriteString("\nTables\n")
		r.tables(&b)
	}
	if len(r.Notes) > 0 {
		b.WriteString("\nNotes\n")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "  - %s\n", note)
	}
	b.WriteString("\nRemarks\n")
	for _, remark := range r.Remarks {
		fmt.Fprintf(&b, "  - %s %s\n", remark.What, remark.Do)
	}
	if len(r.Remarks) == 0 {
		b.WriteString("  Nothing stands out.\n")
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// indented writes what another function writes, with a margin.
func (r *Report) indented(b *bytes.Buffer, write func(w io.Writer)) {
	var inner bytes.Buffer
	write(&inner)
	for line := range strings.Lines(inner.String()) {
		b.WriteString("  " + line)
	}
}

// statement writes the text and what it has cost.
func (r *Report) statement(b *bytes.Buffer) {
	e := r.Entry
	fmt.Fprintf(b, "Statement %s of user %s in database %s\n", e.QueryID, postgres.QuoteIdent(e.user()), postgres.QuoteIdent(e.Database))
	r.indented(b, func(w io.Writer) { fmt.Fprintln(w, strings.TrimSpace(r.Query)) })
	b.WriteString("\nMeasured by pg_stat_statements\n")
	if e.Calls == 0 {
		b.WriteString("  no execution has ended yet\n")
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  calls\t%s\n", count(e.Calls))
	fmt.Fprintf(t, "  time\t%s, %.1f %% of that of all statements\n", seconds(e.Total), 100*e.Share)
	fmt.Fprintf(t, "  time of a call\t%s on average, from %s to %s\n", seconds(e.Mean), seconds(e.Min), seconds(e.Max))
	fmt.Fprintf(t, "  rows of a call\t%s\n", count(e.Rows/e.Calls))
	fmt.Fprintf(t, "  shared blocks of a call\t%s hit, %s read, %s dirtied\n", count(e.SharedHit/e.Calls), count(e.SharedRead/e.Calls), count(e.SharedDirtied/e.Calls))
	fmt.Fprintf(t, "  temporary blocks of a call\t%s read, %s written\n", count(e.TempRead/e.Calls), count(e.TempWritten/e.Calls))
	// Its writer is a buffer.
	_ = t.Flush()
}

func (r *Report) types() string {
	var types []string
	for _, p := range r.Parameters {
		types = append(types, fmt.Sprintf("$%d %s", p.Number, p.Type))
	}
	if len(types) == 0 {
		return ""
	}
	return ", for any values of the parameters: " + strings.Join(types, ", ")
}

func (r *Report) settings() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		fmt.Fprintf(&b, ", %s %s", name, r.Settings[name])
	}
	return b.String()
}

// tables writes the state of the tables.
func (r *Report) tables(b *bytes.Buffer) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  table\tsize\tlive rows\tlast analyze\tmodified since")
	for i := range r.Tables {
		one := &r.Tables[i]
		analyzed := "never, or not known"
		if one.Analyzed != nil {
			analyzed = ago(*one.Analyzed)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", one, optional(one.Bytes, size), optional(one.Rows, count), analyzed, optional(one.Modified, count))
	}
	// Its writer is a buffer.
	_ = t.Flush()
}

// optional writes a value that may not be known.
func optional(v *float64, write func(float64) string) string {
	if v == nil {
		return "-"
	}
	return write(*v)
}

// count writes a number with blanks between thousands, and with what is behind the
// point where it is small.
func count(v float64) string {
	if v < 1 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	if v < 100 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// seconds writes a time as people read it.
func seconds(s float64) string {
	switch {
	case s < 1:
		return strconv.FormatFloat(s*1000, 'g', 3, 64) + " ms"
	case s < 120:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return (time.Duration(s) * time.Second).String()
}

// ago writes how long ago something was.
func ago(s float64) string {
	switch d := time.Duration(s) * time.Second; {
	case d < time.Minute:
		return "now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes ago", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f hours ago", d.Hours())
	default:
		return fmt.Sprintf("%.0f days ago", d.Hours()/24)
	}
}
