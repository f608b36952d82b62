package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// trial is what is tried against a fault.
type trial struct {
	begin, end int // the tokens that it is about
	steps      []step
	done       int // of the steps
}

// step is a type for some parameters.
type step struct {
	params []int
	kind   int // of tried
}

// Of types that the server cannot infer, these are tried. A constant in quotes had
// none to lose, and a parameter is inferred as that was: what is lost are numbers
// and truth values.
var tried = []struct {
	oid  uint32
	name string
}{{23, "integer"}, {1700, "numeric"}, {16, "boolean"}}

// tryType gives the parameters near a fault a type, and another one where the next
// fault is there too.
func (d *draft) tryType(at int) bool {
	t := &d.trial
	if t.done > 0 && at >= t.begin && at < t.end {
		for _, n := range t.steps[t.done-1].params {
			delete(d.given, n)
		}
	} else {
		d.settle()
		*t = d.newTrial(at)
	}
	if t.done == len(t.steps) {
		return false
	}
	s := t.steps[t.done]
	t.done++
	for _, n := range s.params {
		d.given[n] = tried[s.kind].oid
	}
	return true
}

// newTrial lists what to try: the parameters near a fault together, and one by one;
// where there are none, one by one those that are a column by themselves.
func (d *draft) newTrial(at int) trial {
	if at < 0 {
		return trial{}
	}
	t := trial{begin: at, end: at + 1}
	begin, end := d.around(at)
	params := d.open(begin, end, func(i int) bool { return !d.compared(i, at) })
	if len(params) > 0 {
		t.begin, t.end = begin, end
		for kind := range tried {
			t.steps = append(t.steps, step{params, kind})
		}
	}
	if len(params) == 0 {
		params = d.bare()
	} else if len(params) == 1 {
		return t
	}
	for kind := range tried {
		for _, n := range params {
			t.steps = append(t.steps, step{[]int{n}, kind})
		}
	}
	return t
}

// settle takes note of a type that did.
func (d *draft) settle() {
	t := d.trial
	d.trial = trial{}
	if t.done == 0 {
		return
	}
	s := t.steps[t.done-1]
	var names []string
	for _, n := range s.params {
		names = append(names, fmt.Sprintf("$%d", n))
	}
	d.notes = append(d.notes, fmt.Sprintf("The type of %s cannot be inferred; %s is taken.", strings.Join(names, ", "), tried[s.kind].name))
}

// around returns the tokens that a fault at one may be about: a function with what is
// in its parentheses, else the expression.
func (d *draft) around(at int) (begin, end int) {
	name := at
	for d.is(name+1, ".") {
		name += 2
	}
	if k := d.kind(at); (k == word || k == quoted) && d.is(name+1, "(") {
		return at, min(d.closing(name+1)+1, len(d.tokens))
	}
	return d.expression(at)
}

// open returns the parameters among some tokens whose type is not settled, neither by
// us nor by a cast, and that stand where they are wanted.
func (d *draft) open(begin, end int, wanted func(i int) bool) []int {
	found := map[int]bool{}
	for i := begin; i < end; i++ {
		cast := d.is(i+1, ":") && d.is(i+2, ":") || d.is(i-2, "CAST") && d.is(i+1, "AS")
		if d.kind(i) != param || cast {
			continue
		}
		if _, known := d.given[d.number(i)]; !known && wanted(i) {
			found[d.number(i)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// bare returns the parameters that are a column by themselves: what complains of
// their type may be far from them.
func (d *draft) bare() []int {
	return d.open(0, len(d.tokens), func(i int) bool {
		o := d.pairs[i].in
		if o >= 0 && !d.is(o+1, "SELECT") && !d.isRow(o) {
			return false // an argument, or one of a list
		}
		return d.is(i-1, "SELECT", "DISTINCT", "ALL", ",", "(") && (d.is(i+1, ",", ")") || d.kind(i+1) == word)
	})
}

// isRow reports whether a parenthesis opens a row of VALUES.
func (d *draft) isRow(i int) bool {
	for d.is(i-1, ",") && d.is(i-2, ")") && d.pairs[i-2].open >= 0 {
		i = d.pairs[i-2].open
	}
	return d.is(i-1, "VALUES")
}

// borders end an expression.
var borders = []string{
	",", ";", "AND", "OR", "NOT", "SELECT", "DISTINCT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "BY", "LIMIT", "OFFSET", "SET", "VALUES",
	"RETURNING", "ON", "USING", "UNION", "INTERSECT", "EXCEPT", "AS",
}

// expression returns the tokens of the expression around one.
func (d *draft) expression(at int) (begin, end int) {
	depth := 0
	for begin = at; begin > 0; begin-- {
		switch {
		case d.is(begin-1, ")", "]"):
			depth++
		case d.is(begin-1, "(", "["):
			depth--
		}
		if depth < 0 || depth == 0 && d.is(begin-1, borders...) {
			break
		}
	}
	for end = at; end < len(d.tokens) && !d.is(end, ")", "]") && (end == at || !d.is(end, borders...)); end++ {
		if d.is(end, "(", "[") {
			end = d.closing(end)
		}
	}
	return begin, min(end, len(d.tokens))
}

// compared reports whether a parameter stands beside a comparison other than the
// one that the fault is about.
func (d *draft) compared(i, fault int) bool {
	isSign := func(i int) bool { return d.is(i, "=", "<", ">", "!", "~") }
	begin := i - 1
	for isSign(begin) && isSign(begin-1) {
		begin--
	}
	switch {
	case isSign(i - 1):
		return begin != fault
	case isSign(i + 1):
		return i+1 != fault
	}
	return d.is(i-1, "LIKE", "ILIKE") || d.is(i+1, "LIKE", "ILIKE", "IN", "BETWEEN")
}
