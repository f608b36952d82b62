package explain

import (
	"slices"
	"strings"
)

// maxCompared bounds how many pairs of tokens regroup looks at.
const maxCompared = 10_000_000

// regroup puts the constants of GROUP BY, ORDER BY and DISTINCT ON, which
// pg_stat_statements leaves in place, where the same expressions are outside: the
// server can no longer see that date_trunc($1, t) is date_trunc('day', t).
func (d *draft) regroup() bool {
	if d.regrouped {
		return false
	}
	d.regrouped = true
	var edits []edit
	replaced := map[int]bool{}
	items := d.grouped()
	if len(items)*len(d.tokens) > maxCompared {
		return false
	}
	for _, item := range items {
		n := item[1] - item[0]
		for i := 0; i+n <= len(d.tokens); i++ {
			if !d.alike(item[0], i, n) {
				continue
			}
			for k := range n {
				if t := d.tokens[i+k]; t.kind == param && d.kind(item[0]+k) != param && !replaced[i+k] {
					replaced[i+k] = true
					edits = append(edits, edit{t.start, t.end, d.at(item[0] + k)})
				}
			}
		}
	}
	if !d.apply(edits) {
		return false
	}
	d.notes = append(d.notes, "Constants were put back where GROUP BY or ORDER BY still has them.")
	return true
}

// alike reports whether n tokens are the same but for constants.
func (d *draft) alike(item, other, n int) bool {
	for k := range n {
		a, b := d.tokens[item+k].kind, d.tokens[other+k].kind
		switch {
		case (a == text || a == number) && b == param:
		case a != b:
			return false
		case a == word && !strings.EqualFold(d.at(item+k), d.at(other+k)), a != word && d.at(item+k) != d.at(other+k):
			return false
		}
	}
	return true
}

// grouped lists, as first token and the one behind the last, what is grouped or
// ordered by and has a constant in it.
func (d *draft) grouped() [][2]int {
	var items [][2]int
	for i := range d.tokens {
		switch {
		case d.is(i, "GROUP", "ORDER") && d.is(i+1, "BY"):
			items = append(items, d.items(i+2)...)
		case d.is(i, "ON") && d.is(i-1, "DISTINCT") && d.is(i+1, "("), d.is(i, "ROLLUP", "CUBE", "SETS") && d.is(i+1, "("):
			items = append(items, d.items(i+2)...)
		}
	}
	return slices.DeleteFunc(items, func(item [2]int) bool {
		for i := item[0]; i < item[1]; i++ {
			if k := d.kind(i); (k == text || k == number) && item[1]-item[0] > 1 {
				return false
			}
		}
		return true
	})
}

// clauses end a list of expressions, and their order words end one of them.
var (
	clauses = []string{"HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR", "UNION", "INTERSECT", "EXCEPT", "RETURNING", "ROWS", "RANGE", "GROUPS"}
	orders  = []string{"ASC", "DESC", "USING", "NULLS"}
)

// items parts a list of expressions.
func (d *draft) items(i int) [][2]int {
	var items [][2]int
	begin, end := i, -1
	add := func(i int) {
		if end < 0 {
			end = i
		}
		if end > begin {
			items = append(items, [2]int{begin, end})
		}
		begin, end = i+1, -1
	}
	for ; i < len(d.tokens) && !d.is(i, ")", "]") && !d.is(i, clauses...); i++ {
		switch {
		case d.is(i, "(", "["):
			i = d.closing(i)
		case d.is(i, ","):
			add(i)
		case end < 0 && d.is(i, orders...):
			end = i
		}
	}
	add(min(i, len(d.tokens)))
	return items
}
