package page

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// Labels are the rendered label blocks of a result's rows, each rendered once:
// {datname="a",relname="b"}, or nothing where there are no names. They are
// filled once and then only read, by any number of pages at a time. The zero
// value is ready for rows without labels.
type Labels struct {
	names []string
	leads []string // what comes before each value: {datname=", then ",relname="
	text  []byte
	ends  []int // end in text of each block
}

// NewLabels returns an empty set of blocks with the given label names, which are
// shown in this order. It fails for a name that would need quoting on the page,
// a reserved name and a name given twice.
func NewLabels(names ...string) (*Labels, error) {
	l := &Labels{names: slices.Clone(names), leads: make([]string, len(names))}
	for i, name := range names {
		switch {
		case !model.LegacyValidation.IsValidLabelName(name):
			return nil, fmt.Errorf("label name %q is not valid", name)
		case len(name) >= 2 && name[:2] == model.ReservedLabelPrefix:
			return nil, fmt.Errorf("label name %q is reserved", name)
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("label name %q is given twice", name)
		}
		l.leads[i] = `",` + name + `="`
		if i == 0 {
			l.leads[i] = `{` + name + `="`
		}
	}
	return l, nil
}

// Append renders the block of the next row. A value that is not valid UTF-8 is
// made so, because one such byte would cost the whole page at the reader. It
// fails, and appends nothing, when there is not one value for each name.
func (l *Labels) Append(values ...[]byte) error {
	if len(values) != len(l.names) {
		return fmt.Errorf("row %d has %d label values for the names %v", len(l.ends), len(values), l.names)
	}
	for i, v := range values {
		l.text = append(l.text, l.leads[i]...)
		if !utf8.Valid(v) {
			v = bytes.ToValidUTF8(v, []byte(replacement))
		}
		l.text = appendEscaped(l.text, v, true)
	}
	if len(values) > 0 {
		l.text = append(l.text, `"}`...)
	}
	l.ends = append(l.ends, len(l.text))
	return nil
}

// Len returns the number of rows.
func (l *Labels) Len() int { return len(l.ends) }

// Block returns the rendered labels of a row. Rows with equal labels have equal
// blocks. The bytes are the set's own and must not be changed.
func (l *Labels) Block(row int) []byte {
	start := 0
	if row > 0 {
		start = l.ends[row-1]
	}
	return l.text[start:l.ends[row]]
}

// values reads the values of a row back out of its block, for those few who want
// them apart; the page does not pay for keeping them twice.
func (l *Labels) values(row int) []string {
	block := l.Block(row)
	values := make([]string, len(l.names))
	for i, lead := range l.leads {
		var v []byte
		for block = block[len(lead):]; block[0] != '"'; block = block[1:] {
			if block[0] == '\\' {
				block = block[1:]
				if block[0] == 'n' {
					v = append(v, '\n')
					continue
				}
			}
			v = append(v, block[0])
		}
		// The quote stays: it begins the next lead.
		values[i] = string(v)
	}
	return values
}

// replacement is U+FFFD, which stands for bytes that are not UTF-8.
const replacement = "\uFFFD"

// appendEscaped appends v with backslashes and newlines escaped and, where asked
// for, double quotes too.
func appendEscaped(b, v []byte, quotes bool) []byte {
	start := 0
	for i, c := range v {
		switch {
		case c == '\\', c == '"' && quotes:
		case c == '\n':
			c = 'n'
		default:
			continue
		}
		b = append(b, v[start:i]...)
		b = append(b, '\\', c)
		start = i + 1
	}
	return append(b, v[start:]...)
}
