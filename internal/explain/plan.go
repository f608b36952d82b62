package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// Plan is what EXPLAIN (FORMAT JSON) has answered.
type Plan struct {
	root *Node
	top  []property // beside the plan: settings
	raw  json.RawMessage
}

// Node is a node of a plan.
type Node struct {
	props []property // in the order that the server writes
	Plans []*Node
}

// property is one of a node. Its value is a string, a json.Number, a bool, a list of
// values, or properties.
type property struct {
	key   string
	value any
}

// readPlan decodes the one plan of an answer.
func readPlan(raw []byte) (*Plan, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := decode(dec)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(list) != 1 {
		return nil, errors.New("it is not the plan of one statement")
	}
	top, ok := list[0].([]property)
	if !ok {
		return nil, errors.New("it is not a plan")
	}
	p := &Plan{raw: raw}
	for _, prop := range top {
		if props, ok := prop.value.([]property); ok && prop.key == "Plan" {
			p.root = newNode(props)
			continue
		}
		p.top = append(p.top, prop)
	}
	if p.root == nil {
		return nil, errors.New("it has no plan")
	}
	return p, nil
}

// decode reads a value, and keeps properties in their order.
func decode(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	var list []any
	var props []property
	for dec.More() {
		key := ""
		if delim == '{' {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key = fmt.Sprint(token)
		}
		v, err := decode(dec)
		if err != nil {
			return nil, err
		}
		list, props = append(list, v), append(props, property{key, v})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if delim == '{' {
		return props, nil
	}
	return list, nil
}

func newNode(props []property) *Node {
	n := &Node{}
	for _, prop := range props {
		if prop.key != "Plans" {
			n.props = append(n.props, prop)
			continue
		}
		list, _ := prop.value.([]any)
		for _, v := range list {
			if props, ok := v.([]property); ok {
				n.Plans = append(n.Plans, newNode(props))
			}
		}
	}
	return n
}

// get returns a property; nil is none.
func (n *Node) get(key string) any {
	i := slices.IndexFunc(n.props, func(p property) bool { return p.key == key })
	if i < 0 {
		return nil
	}
	return n.props[i].value
}

// text returns a property that is a text; "" is none.
func (n *Node) text(key string) string {
	s, _ := n.get(key).(string)
	return s
}

// number returns a property that is a number; 0 is none.
func (n *Node) number(key string) float64 {
	s, _ := n.get(key).(json.Number)
	v, err := strconv.ParseFloat(s.String(), 64)
	if err != nil {
		return 0
	}
	return v
}

// on reports whether a property is true.
func (n *Node) on(key string) bool {
	v, _ := n.get(key).(bool)
	return v
}

// kind is the type of the node.
func (n *Node) kind() string { return n.text("Node Type") }

// rows are those that the node is expected to give at each execution.
func (n *Node) rows() float64 { return n.number("Plan Rows") }

// walk visits the node and those below it. Each is told by how many processes it is
// shared: what the planner expects of it is the part of one.
func (n *Node) walk(shared float64, visit func(n *Node, shared float64)) {
	visit(n, shared)
	if workers := n.number("Workers Planned"); workers > 0 {
		// The leader takes part, the less the more there is to gather (cost_seqscan).
		shared = workers + max(0, 1-0.3*workers)
	}
	for _, child := range n.Plans {
		child.walk(shared, visit)
	}
}

// relation is the name of the table that the node reads or writes.
func (n *Node) relation() table {
	return table{n.text("Schema"), n.text("Relation Name")}
}

// table is the name of a table.
type table struct{ schema, name string }

func (t table) String() string {
	return postgres.QuoteIdent(t.schema) + "." + postgres.QuoteIdent(t.name)
}

// tables lists the tables that the plan names, in its order.
func (p *Plan) tables() []table {
	var tables []table
	p.root.walk(1, func(n *Node, _ float64) {
		if t := n.relation(); t.name != "" && !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
	})
	return tables
}

// pruned reports whether partitions have been taken out of the plan when its
// execution was prepared.
func (p *Plan) pruned() bool {
	found := false
	p.root.walk(1, func(n *Node, _ float64) { found = found || n.number("Subplans Removed") > 0 })
	return found
}

// settings are those that count for the plan and are not PostgreSQL's defaults,
// without those that only our session has.
func (p *Plan) settings() map[string]string {
	settings := map[string]string{}
	for _, prop := range p.top {
		props, ok := prop.value.([]property)
		if !ok || prop.key != "Settings" {
			continue
		}
		for _, set := range props {
			if !slices.Contains([]string{"jit", "max_parallel_workers", "plan_cache_mode", "search_path"}, set.key) {
				settings[set.key] = fmt.Sprint(set.value)
			}
		}
	}
	return settings
}
