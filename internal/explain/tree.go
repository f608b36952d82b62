package explain

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// tree writes a plan as EXPLAIN (VERBOSE) writes it as text, without the columns that
// each node gives.
func (p *Plan) tree(w io.Writer) {
	t := &tree{w: w}
	t.node(p.root, 0)
}

// tree is a text under way.
type tree struct{ w io.Writer }

func (t *tree) line(indent int, format string, args ...any) {
	fmt.Fprintf(t.w, "%s%s\n", strings.Repeat("  ", indent), fmt.Sprintf(format, args...))
}

func (t *tree) node(n *Node, indent int) {
	if name := n.text("Subplan Name"); name != "" {
		t.line(indent, "%s", name)
		indent++
	}
	arrow := ""
	if indent > 0 {
		arrow = "->  "
	}
	t.line(indent, "%s%s  (cost=%v..%v rows=%v width=%v)", arrow, n.title(), n.get("Startup Cost"), n.get("Total Cost"), n.get("Plan Rows"), n.get("Plan Width"))
	if indent > 0 {
		indent += 2
	}
	for _, prop := range n.props {
		t.property(n, prop, indent+1)
	}
	for _, child := range n.Plans {
		t.node(child, indent+1)
	}
}

// titled are the properties that are part of a node's first line, or not shown.
var titled = []string{
	"Node Type", "Strategy", "Partial Mode", "Parallel Aware", "Async Capable", "Join Type", "Operation", "Command", "Scan Direction",
	"Index Name", "Relation Name", "Schema", "Alias", "Function Name", "Table Function Name", "CTE Name", "Tuplestore Name",
	"Custom Plan Provider", "Parent Relationship", "Subplan Name", "Startup Cost", "Total Cost", "Plan Rows", "Plan Width", "Output",
	"Sampling Parameters", "Repeatable Seed",
}

func (t *tree) property(n *Node, prop property, indent int) {
	if slices.Contains(titled, prop.key) {
		return
	}
	// These are told where they are so.
	switch prop.key {
	case "Inner Unique", "Single Copy", "Disabled":
		if !n.on(prop.key) {
			return
		}
	case "Subplans Removed", "Planned Partitions":
		if n.number(prop.key) == 0 {
			return
		}
	case "Sampling Method":
		t.line(indent, "Sampling: %s", n.sampling())
		return
	case "Grouping Sets":
		t.groupingSets(prop.value, indent)
		return
	case "Target Tables":
		t.targets(n, prop.value, indent)
		return
	}
	switch v := prop.value.(type) {
	case []any:
		t.line(indent, "%s: %s", prop.key, joined(v))
	case []property:
		// No node of an EXPLAIN that executes nothing has one.
	default:
		t.line(indent, "%s: %v", prop.key, v)
	}
}

func joined(list []any) string {
	var parts []string
	for _, v := range list {
		parts = append(parts, fmt.Sprint(v))
	}
	return strings.Join(parts, ", ")
}

// groupingSets writes what several ways of grouping share one pass.
func (t *tree) groupingSets(sets any, indent int) {
	list, _ := sets.([]any)
	for _, v := range list {
		props, _ := v.([]property)
		for _, prop := range props {
			keys, _ := prop.value.([]any)
			switch prop.key {
			case "Sort Key":
				t.line(indent, "Sort Key: %s", joined(keys))
				indent++
				defer func() { indent-- }()
			case "Group Keys", "Hash Keys":
				for _, key := range keys {
					one, _ := key.([]any)
					if name := strings.TrimSuffix(prop.key, "s"); len(one) > 0 {
						t.line(indent, "%s: %s", name, joined(one))
					} else {
						t.line(indent, "%s: ()", name)
					}
				}
			}
		}
	}
}

// targets writes the tables that are written to, where they are more than the one
// of the first line.
func (t *tree) targets(n *Node, targets any, indent int) {
	list, _ := targets.([]any)
	for _, v := range list {
		if props, ok := v.([]property); ok {
			to := &Node{props: props}
			t.line(indent, "%s%s", n.text("Operation"), to.target())
		}
	}
}

// title is a node as its first line names it.
func (n *Node) title() string {
	title := n.name()
	if n.on("Async Capable") {
		title = "Async " + title
	}
	if n.on("Parallel Aware") {
		title = "Parallel " + title
	}
	switch mode := n.text("Partial Mode"); mode {
	case "Partial", "Finalize":
		title = mode + " " + title
	}
	if n.text("Scan Direction") == "Backward" {
		title += " Backward"
	}
	if index := n.text("Index Name"); index != "" && n.kind() == "Bitmap Index Scan" {
		title += " on " + postgres.QuoteIdent(index)
	} else if index != "" {
		title += " using " + postgres.QuoteIdent(index)
	}
	return title + n.target()
}

// name is a node's type.
func (n *Node) name() string {
	join := n.text("Join Type")
	if join == "Inner" {
		join = ""
	}
	switch kind := n.kind(); kind {
	case "Nested Loop":
		if join != "" {
			return "Nested Loop " + join + " Join"
		}
	case "Merge Join", "Hash Join":
		if join != "" {
			return strings.TrimSuffix(kind, "Join") + join + " Join"
		}
	case "Aggregate":
		if s := n.text("Strategy"); s != "Plain" {
			return map[string]string{"Sorted": "Group", "Hashed": "Hash", "Mixed": "Mixed"}[s] + "Aggregate"
		}
	case "SetOp":
		prefix := ""
		if n.text("Strategy") == "Hashed" {
			prefix = "Hash"
		}
		return prefix + "SetOp " + n.text("Command")
	case "ModifyTable":
		return n.text("Operation")
	case "Foreign Scan":
		if op := n.text("Operation"); op != "" && op != "Select" {
			return "Foreign " + op
		}
	case "Custom Scan":
		if by := n.text("Custom Plan Provider"); by != "" {
			return "Custom Scan (" + by + ")"
		}
	default:
		return kind
	}
	return n.kind()
}

// target is what a node reads or writes.
func (n *Node) target() string {
	object := ""
	for _, key := range []string{"Relation Name", "Function Name", "Table Function Name", "CTE Name", "Tuplestore Name"} {
		if s := n.text(key); s != "" {
			object = s
		}
	}
	alias, on := n.text("Alias"), ""
	switch {
	case object == "" && alias == "":
		return ""
	case object == "":
		return " on " + postgres.QuoteIdent(alias)
	case n.text("Schema") != "":
		on = " on " + postgres.QuoteIdent(n.text("Schema")) + "." + postgres.QuoteIdent(object)
	default:
		on = " on " + postgres.QuoteIdent(object)
	}
	if alias != object && alias != "" {
		on += " " + postgres.QuoteIdent(alias)
	}
	return on
}

// sampling is how a table is sampled.
func (n *Node) sampling() string {
	params, _ := n.get("Sampling Parameters").([]any)
	s := fmt.Sprintf("%s (%s)", n.text("Sampling Method"), joined(params))
	if seed := n.text("Repeatable Seed"); seed != "" {
		s += " REPEATABLE (" + seed + ")"
	}
	return s
}
