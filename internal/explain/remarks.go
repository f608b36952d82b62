package explain

import (
	"fmt"
	"slices"
	"strings"
)

// Remark is something that stands out.
type Remark struct {
	// About is from a fixed set.
	About About `json:"about"`
	// What is there, and why it matters.
	What string `json:"what"`
	// Do is what can be done.
	Do string `json:"do"`
}

// About is what a remark is about.
type About string

// What remarks are about.
const (
	AboutSeqScan    About = "sequential_scan"
	AboutLoop       About = "nested_loop"
	AboutEstimate   About = "estimate"
	AboutUnanalyzed About = "never_analyzed"
	AboutStale      About = "stale_statistics"
	AboutMemory     About = "work_mem"
	AboutTemporary  About = "temporary_files"
	AboutSecurity   About = "row_security"
)

// factor is by how much an estimate and what was measured may differ.
const factor = 100

// remarks lists what stands out.
func remarks(r *Report, large int64, mem memory) []Remark {
	l := &looker{report: r, large: large, memory: mem}
	r.Plan.root.walk(1, l.node)
	l.temporary()
	l.sequential()
	l.estimate()
	l.tables()
	return l.remarks
}

// looker looks at a plan.
type looker struct {
	report  *Report
	large   int64
	memory  memory
	remarks []Remark

	scans []scan
	inner []*Table // that a nested loop reads again and again
	top   []*Node  // sorts of which no more is kept than a limit asks for
}

// scan is a sequential scan of a large table.
type scan struct {
	table *Table
	keeps float64 // part of its rows that the filter lets pass, by estimate; 1 without a filter
}

func (l *looker) remark(about About, do, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{about, fmt.Sprintf(format, args...), do})
}

// node looks at one node.
func (l *looker) node(n *Node, shared float64) {
	switch n.kind() {
	case "Seq Scan":
		l.seqScan(n, shared)
	case "Nested Loop":
		l.loop(n)
	case "Limit":
		l.limited(n)
	case "Sort":
		if !slices.Contains(l.top, n) {
			l.spill(n, n.rows()*n.number("Plan Width"), l.memory.sort, "a sort", "work_mem")
		}
	case "Hash":
		l.spill(n, n.rows()*n.number("Plan Width"), l.memory.hash, "a hash table", "work_mem, which hash_mem_multiplier multiplies,")
	case "Aggregate":
		if s := n.text("Strategy"); s == "Hashed" || s == "Mixed" {
			l.spill(n, n.rows()*n.number("Plan Width"), l.memory.hash, "grouping by a hash table", "work_mem, which hash_mem_multiplier multiplies,")
		}
	}
}

// limited finds the sorts that a limit tells how many rows it will ask for
// (ExecSetTupleBound).
func (l *looker) limited(n *Node) {
	for _, child := range n.Plans {
		switch child.kind() {
		case "Sort":
			l.top = append(l.top, child)
		case "Gather", "Gather Merge", "Append", "Merge Append", "Result", "Subquery Scan":
			l.limited(child)
		}
	}
}

func (l *looker) seqScan(n *Node, shared float64) {
	t := of(l.report.Tables, n.relation())
	if !t.large(l.large) || slices.ContainsFunc(l.scans, func(s scan) bool { return s.table == t }) {
		return
	}
	s := scan{table: t, keeps: 1}
	if n.text("Filter") != "" && t.rows > 0 {
		s.keeps = min(1, n.rows()*shared/t.rows)
	}
	l.scans = append(l.scans, s)
}

// helped is the part of a table's rows below which an index serves better than a
// scan; the planner draws the line near there.
const helped = 0.1

// sequential tells of the sequential scans: of those that an index could spare, and of the others.
func (l *looker) sequential() {
	var few, many []string
	for _, s := range l.scans {
		if slices.Contains(l.inner, s.table) {
			continue // said already
		}
		text := fmt.Sprintf("%s (%s)", s.table, size(*s.table.Bytes))
		if s.keeps < helped {
			few = append(few, text)
		} else {
			many = append(many, text)
		}
	}
	if len(few) > 0 {
		l.remark(AboutSeqScan, "Look for an index that fits the filter, or why the one that is there is not used.",
			"Each execution reads all of %s, and the filter is to let less than a tenth of the rows pass.", several(few))
	}
	if len(many) > 0 {
		l.remark(AboutSeqScan, "An index would not help as it is: ask for fewer rows, keep sums aside, or execute it less often.",
			"Each execution may read all of %s, and most of the rows are wanted.", several(many))
	}
}

// loop looks for a large table that is read once for each row of another.
func (l *looker) loop(n *Node) {
	i := slices.IndexFunc(n.Plans, func(child *Node) bool { return child.text("Parent Relationship") == "Inner" })
	o := slices.IndexFunc(n.Plans, func(child *Node) bool { return child.text("Parent Relationship") == "Outer" })
	if i < 0 || o < 0 || n.Plans[o].rows() <= 1 {
		return
	}
	inner, how := n.Plans[i], "all of"
	if inner.kind() == "Materialize" && len(inner.Plans) == 1 {
		inner, how = inner.Plans[0], "what is kept of"
	}
	if inner.kind() != "Seq Scan" {
		return
	}
	t := of(l.report.Tables, inner.relation())
	if !t.large(l.large) || slices.Contains(l.inner, t) {
		return
	}
	l.inner = append(l.inner, t)
	l.remark(AboutLoop, "Look for an index on the columns of the join, and whether its condition can use one.",
		"A nested loop goes through %s %s (%s) once for each of about %s rows.", how, t, size(*t.Bytes), count(n.Plans[o].rows()))
}

// spill tells of what does not fit in memory.
func (l *looker) spill(n *Node, bytes, limit float64, what, setting string) {
	if limit <= 0 || bytes <= limit {
		return
	}
	l.remark(AboutMemory, "Have it give fewer or narrower rows earlier, or give this user more by ALTER ROLE … SET work_mem.",
		"The plan has %s of about %s (%s rows of %v bytes), and %s allows %s: it goes through temporary files.",
		what, size(bytes), count(n.rows()), n.get("Plan Width"), setting, size(limit))
}

// temporary tells of temporary files that were written.
func (l *looker) temporary() {
	e := l.report.Entry
	if e.TempWritten == 0 || e.Calls == 0 {
		return
	}
	l.remark(AboutTemporary, "Compare with log_temp_files, and see whether work_mem is too small for it or an index spares the sort.",
		"Each execution has written %s to temporary files on average, which costs more than memory would.", size(e.TempWritten/e.Calls*e.block))
}

// estimate compares the rows that are expected with those that came.
func (l *looker) estimate() {
	e, top := l.report.Entry, l.report.Plan.root
	if e.Calls == 0 {
		return
	}
	expected, limited := top.rows(), top.kind() == "Limit"
	if top.kind() == "ModifyTable" && top.rows() == 0 {
		expected = 0
		for _, child := range top.Plans {
			if r := child.text("Parent Relationship"); r != "InitPlan" && r != "SubPlan" {
				expected += child.rows()
				limited = limited || child.kind() == "Limit"
			}
		}
	}
	expected, measured := max(expected, 1), max(e.Rows/e.Calls, 1)
	const do = "Compare the estimates of the nodes with counts of the tables; ANALYZE, a higher SET STATISTICS, or CREATE STATISTICS for columns that depend on each other bring them nearer."
	switch {
	case expected >= factor*measured && !limited:
		l.remark(AboutEstimate, do, "The plan expects %s rows, and an execution has given %s on average: it may have been chosen for far more work than there is.", count(expected), count(measured))
	case measured >= factor*expected:
		l.remark(AboutEstimate, do, "The plan expects %s rows, and an execution has given %s on average: joins and scans may have been chosen for far less work than there is.", count(expected), count(measured))
	}
}

// tables tells of tables that the planner knows too little of.
func (l *looker) tables() {
	var never, stale, secured []string
	for i := range l.report.Tables {
		t := &l.report.Tables[i]
		switch {
		case t.unanalyzed():
			never = append(never, t.String())
		case t.stale():
			stale = append(stale, fmt.Sprintf("%s (%s rows since)", t, count(*t.Modified)))
		}
		if t.security {
			secured = append(secured, t.String())
		}
	}
	if len(never) > 0 {
		l.remark(AboutUnanalyzed, "ANALYZE it, and see why autovacuum has not.", "The planner has no statistics on %s, so that its estimates are guesses.", several(never))
	}
	if len(stale) > 0 {
		l.remark(AboutStale, "ANALYZE it, or lower autovacuum_analyze_scale_factor for it.", "A good part of %s has changed since the last ANALYZE: estimates are of how it was.", several(stale))
	}
	if len(secured) > 0 {
		l.remark(AboutSecurity, "Compare with a plan made as the user of the statement.", "Policies of row security on %s apply by role: the plan is that of pgvigil's role.", several(secured))
	}
}

// shown is how many names a remark lists.
const shown = 5

func several(names []string) string {
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
