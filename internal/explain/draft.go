package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// draft is a statement on its way to be parsed. Where pg_stat_statements has put a
// parameter for a constant, the text may have lost what the server needs: a literal
// that belongs to its syntax, the type of a number, or that two constants were the
// same one. What the server complains of is mended, a few times.
type draft struct {
	statement
	given map[int]uint32 // types of parameters that the server is not to infer
	notes []string       // what was done, for people

	trial     trial
	regrouped bool
}

// mends is how often a draft may fail. Each time is a line in the server's log.
const mends = 12

// textOID is the type of what any type will do for.
const textOID = 25

// mend changes the draft so that it may no longer have the fault, and reports
// whether it could.
func (d *draft) mend(fault postgres.Fault) bool {
	at := d.find(fault.Position)
	switch fault.State {
	case "42P18": // indeterminate_datatype
		return d.anyType(fault.Message)
	case "42601": // syntax_error
		return d.literal(at)
	case "42803", "42P10": // grouping_error, invalid_column_reference
		return d.regroup()
	case "42883", "42725", "42804", "42846", "42P08":
		// undefined_function, ambiguous_function, datatype_mismatch, cannot_coerce, ambiguous_parameter
		return d.tryType(at)
	}
	return false
}

// find returns the token at a position, which counts characters from 1.
func (d *draft) find(position int) int {
	if position == 0 {
		return -1
	}
	characters, at := 0, 0
	for i, t := range d.tokens {
		characters += utf8.RuneCountInString(d.sql[at:t.start])
		if at = t.start; characters >= position-1 {
			return i
		}
	}
	return -1
}

var dollarNumber = regexp.MustCompile(`\$(\d+)`)

// anyType makes the parameter of a message a text.
func (d *draft) anyType(message string) bool {
	m := dollarNumber.FindStringSubmatch(message)
	if m == nil {
		return false
	}
	n, err := strconv.Atoi(m[1])
	if _, known := d.given[n]; err != nil || known {
		return false
	}
	d.given[n] = textOID
	if d.numbers()[n] {
		d.notes = append(d.notes, fmt.Sprintf("Nothing tells the type of $%d; text is taken.", n))
	}
	return true
}

// numbers are the parameters that the text has.
func (d *draft) numbers() map[int]bool {
	found := map[int]bool{}
	for i := range d.tokens {
		if d.kind(i) == param {
			found[d.number(i)] = true
		}
	}
	return found
}

// edit is a part of the text and what takes its place.
type edit struct {
	start, end int
	by         string
}

// apply makes edits, which do not overlap, and leave one statement of the same kind.
func (d *draft) apply(edits []edit) bool {
	if len(edits) == 0 {
		return false
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(d.sql[at:e.start] + e.by)
		at = e.end
	}
	next, err := examine(b.String() + d.sql[at:])
	if err != nil || next.verb != d.verb {
		return false
	}
	d.settle() // what it knows are tokens that were
	d.statement = next
	return true
}

// literal is for a parameter where only a literal may stand: interval $1 becomes
// CAST($1 AS interval), and the field of extract one that there is.
func (d *draft) literal(at int) bool {
	if d.kind(at) != param {
		return false
	}
	var edits []edit
	if d.isField(at) {
		for i := range d.tokens {
			if d.isField(i) {
				edits = append(edits, edit{d.tokens[i].start, d.tokens[i].end, "epoch"})
			}
		}
		d.notes = append(d.notes, "The field of extract is not known; epoch is taken.")
		return d.apply(edits)
	}
	begin := d.typeBefore(at)
	if begin < 0 {
		return false
	}
	// One round trip for all of its kind.
	for i := range d.tokens {
		if d.kind(i) != param || !strings.EqualFold(d.at(i-1), d.at(at-1)) {
			continue
		}
		if begin := d.typeBefore(i); begin >= 0 {
			name := d.sql[d.tokens[begin].start:d.tokens[i-1].end]
			end := d.behindFields(i)
			fields := d.sql[d.tokens[i].end:d.tokens[end-1].end]
			edits = append(edits, edit{d.tokens[begin].start, d.tokens[end-1].end, "CAST(" + d.at(i) + " AS " + name + fields + ")"})
		}
	}
	return d.apply(edits)
}

// isField reports whether a parameter is the field of extract.
func (d *draft) isField(i int) bool {
	return d.kind(i) == param && d.is(i-2, "EXTRACT") && d.is(i-1, "(") && d.is(i+1, "FROM")
}

// typeBefore returns where the name of a type begins that ends before a token; -1 if none does.
func (d *draft) typeBefore(i int) int {
	i--
	i = d.beforeModifier(i)
	switch {
	case d.is(i, "ZONE") && d.is(i-1, "TIME") && d.is(i-2, "WITH", "WITHOUT"):
		i = d.beforeModifier(i - 3)
	case d.is(i, "PRECISION", "VARYING"):
		i--
	}
	if d.kind(i) != word && d.kind(i) != quoted {
		return -1
	}
	for d.is(i-1, ".") && i >= 2 {
		i -= 2
	}
	return i
}

// beforeModifier passes (3) from its end.
func (d *draft) beforeModifier(i int) int {
	if !d.is(i, ")") {
		return i
	}
	for i >= 0 && !d.is(i, "(") {
		i--
	}
	return i - 1
}

// behindFields passes what may follow the literal of an interval: DAY TO SECOND (3).
func (d *draft) behindFields(i int) int {
	fields := []string{"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"}
	i++
	if !d.is(i, fields...) {
		return i
	}
	i++
	if d.is(i, "TO") && d.is(i+1, fields...) {
		i += 2
	}
	if d.is(i-1, "SECOND") && d.is(i, "(") {
		i = d.closing(i) + 1
	}
	return min(i, len(d.tokens))
}
