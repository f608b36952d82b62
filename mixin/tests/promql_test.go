package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// promql reads queries.
var promql = parser.NewParser(parser.Options{})

// query is a PromQL text and where it stands.
type query struct {
	where string
	expr  parser.Expr
}

func parse(t *testing.T, where, text string) (query, bool) {
	t.Helper()
	expr, err := promql.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
	return query{where, expr}, err == nil
}

// each visits the nodes of one type; parents are what a node stands in, the
// innermost last.
func each[N parser.Node](e parser.Expr, visit func(node N, parents []parser.Node)) {
	parser.Inspect(e, func(node parser.Node, parents []parser.Node) error {
		if n, ok := node.(N); ok {
			visit(n, parents)
		}
		return nil
	})
}

// nameOf is the metric of a selector.
func nameOf(s *parser.VectorSelector) string {
	if s.Name != "" {
		return s.Name
	}
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// over is the function or aggregation that a selector's range is given to, and the
// range; "" for a selector without one.
func over(parents []parser.Node) (function string, window *parser.MatrixSelector) {
	if len(parents) == 0 {
		return "", nil
	}
	window, ok := parents[len(parents)-1].(*parser.MatrixSelector)
	if !ok {
		return "", nil
	}
	for _, p := range slices.Backward(parents[:len(parents)-1]) {
		if call, ok := p.(*parser.Call); ok {
			return call.Func.Name, window
		}
	}
	return "", window
}

// alive reports whether a query can have a result on a major.
func (c catalog) alive(e parser.Expr, major int) bool {
	switch e := e.(type) {
	case *parser.VectorSelector:
		m, _ := c.find(nameOf(e))
		return slices.Contains(m.majors, major)
	case *parser.MatrixSelector:
		return c.alive(e.VectorSelector, major)
	case *parser.SubqueryExpr:
		return c.alive(e.Expr, major)
	case *parser.ParenExpr:
		return c.alive(e.Expr, major)
	case *parser.UnaryExpr:
		return c.alive(e.Expr, major)
	case *parser.AggregateExpr:
		return c.alive(e.Expr, major)
	case *parser.Call:
		return strings.HasPrefix(e.Func.Name, "absent") ||
			!slices.ContainsFunc(e.Args, func(arg parser.Expr) bool { return !c.alive(arg, major) })
	case *parser.BinaryExpr:
		switch e.Op {
		case parser.LOR:
			return c.alive(e.LHS, major) || c.alive(e.RHS, major)
		case parser.LUNLESS:
			return c.alive(e.LHS, major)
		}
		return c.alive(e.LHS, major) && c.alive(e.RHS, major)
	}
	return true
}

// labels are those that each result of a query has, as far as its form tells.
func (c catalog) labels(e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.VectorSelector:
		m, _ := c.find(nameOf(e))
		if strings.Contains(nameOf(e), ":") { // a rule's: it has what the rule leaves
			return m.labels
		}
		return slices.Concat(target, m.labels)
	case *parser.MatrixSelector:
		return c.labels(e.VectorSelector)
	case *parser.SubqueryExpr:
		return c.labels(e.Expr)
	case *parser.ParenExpr:
		return c.labels(e.Expr)
	case *parser.UnaryExpr:
		return c.labels(e.Expr)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
			return c.labels(e.Expr)
		}
		return e.Grouping
	case *parser.Call:
		return c.labelsOfCall(e)
	case *parser.BinaryExpr:
		return c.labelsOfBinary(e)
	}
	return nil
}

func (c catalog) labelsOfCall(e *parser.Call) []string {
	switch name := e.Func.Name; {
	case strings.HasPrefix(name, "absent"):
		return nil
	case name == "label_replace" || name == "label_join":
		return append(slices.Clone(c.labels(e.Args[0])), e.Args[1].(*parser.StringLiteral).Val)
	}
	for _, arg := range e.Args {
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			return c.labels(arg)
		}
	}
	return nil
}

func (c catalog) labelsOfBinary(e *parser.BinaryExpr) []string {
	left, right := c.labels(e.LHS), c.labels(e.RHS)
	switch {
	case e.LHS.Type() == parser.ValueTypeScalar:
		return right
	case e.RHS.Type() == parser.ValueTypeScalar || e.Op == parser.LAND || e.Op == parser.LUNLESS:
		return left
	case e.Op == parser.LOR:
		return slices.DeleteFunc(slices.Clone(left), func(l string) bool { return !slices.Contains(right, l) })
	}
	switch m := e.VectorMatching; m.Card {
	case parser.CardManyToOne:
		return slices.Concat(left, m.Include)
	case parser.CardOneToMany:
		return slices.Concat(right, m.Include)
	default:
		if m.On {
			return m.MatchingLabels
		}
		return left
	}
}

// options are the labels that some results of a query have: those of either side of an
// or.
func (c catalog) options(e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return c.options(e.Expr)
	case *parser.BinaryExpr:
		switch {
		case e.Op == parser.LOR:
			return slices.Concat(c.options(e.LHS), c.options(e.RHS))
		case e.Op == parser.LAND || e.Op == parser.LUNLESS || e.RHS.Type() == parser.ValueTypeScalar:
			return c.options(e.LHS)
		}
	}
	return c.labels(e)
}

// known are all labels that can be met somewhere in an expression.
func (c catalog) known(e parser.Expr) []string {
	all := slices.Clone(target)
	each(e, func(s *parser.VectorSelector, _ []parser.Node) { all = append(all, c.labels(s)...) })
	each(e, func(call *parser.Call, _ []parser.Node) {
		if call.Func.Name == "label_replace" || call.Func.Name == "label_join" {
			all = append(all, call.Args[1].(*parser.StringLiteral).Val)
		}
	})
	each(e, func(a *parser.AggregateExpr, _ []parser.Node) {
		if name, ok := a.Param.(*parser.StringLiteral); ok && a.Op == parser.COUNT_VALUES {
			all = append(all, name.Val)
		}
	})
	return all
}

// lacking says which labels are not among others, "" if none.
func lacking(wanted, have []string) string {
	var missing []string
	for _, label := range wanted {
		if !slices.Contains(have, label) {
			missing = append(missing, label)
		}
	}
	if missing == nil {
		return ""
	}
	return fmt.Sprintf("%s; there are %s", strings.Join(missing, ", "), strings.Join(have, ", "))
}
