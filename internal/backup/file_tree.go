package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A node is a JSON value and where it stands, which encoding/json forgets.
type node struct {
	line  int
	kind  nodeKind
	text  string // of a string, a number as it is written, true or false
	keys  []node // of an object, beside items
	items []node // of an array or object
}

type nodeKind uint8

const (
	nullNode nodeKind = iota
	textNode
	numberNode
	flagNode
	arrayNode
	objectNode
)

// depthLimit is more than any valid file needs.
const depthLimit = 10

// readTree reads a file that holds one JSON value.
func (f *facts) readTree() (node, error) {
	if !utf8.Valid(f.data) {
		return node{}, f.failf(0, "not JSON: it is not UTF-8")
	}
	// Token alone would let some faults pass, such as an end in the middle.
	var all json.RawMessage
	if err := json.Unmarshal(f.data, &all); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return node{}, f.failf(0, "not JSON: %w", err)
		}
		before := f.data[:min(max(syntax.Offset-1, 0), int64(len(f.data)))]
		column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
		return node{}, f.failf(lineAt(f.data, len(before)), "column %d: not JSON: %w; %s", column, err, halfWritten)
	}
	t := tree{dec: json.NewDecoder(bytes.NewReader(f.data)), data: f.data, line: 1}
	t.dec.UseNumber()
	root, err := t.value(depthLimit)
	if err != nil {
		return node{}, f.failf(t.line, "%w", err)
	}
	return root, nil
}

// lineAt is the number of the line that a position is in.
func lineAt(data []byte, at int) int { return bytes.Count(data[:at], []byte("\n")) + 1 }

// A tree is being built of JSON that is known to be valid.
type tree struct {
	dec  *json.Decoder
	data []byte
	pos  int // up to which lines are counted
	line int // of pos
}

func (t *tree) value(depth int) (node, error) {
	token, err := t.dec.Token()
	if err != nil {
		return node{}, fmt.Errorf("not JSON: %w", err)
	}
	// No token has a line break inside, so its end is in its line.
	end := int(t.dec.InputOffset())
	t.line += bytes.Count(t.data[t.pos:end], []byte("\n"))
	t.pos = end
	n := node{line: t.line}
	switch v := token.(type) {
	case string:
		n.kind, n.text = textNode, v
	case json.Number:
		n.kind, n.text = numberNode, v.String()
	case bool:
		n.kind, n.text = flagNode, fmt.Sprint(v)
	case json.Delim:
		if depth == 0 {
			return node{}, errors.New("lists and objects within each other: more than a file of backups has")
		}
		n.kind = arrayNode
		if v == '{' {
			n.kind = objectNode
		}
		err = t.fill(&n, depth-1)
	}
	return n, err
}

// fill reads what an array or object holds, and its end.
func (t *tree) fill(n *node, depth int) error {
	for t.dec.More() {
		if n.kind == objectNode {
			key, err := t.value(depth)
			if err != nil {
				return err
			}
			n.keys = append(n.keys, key)
		}
		item, err := t.value(depth)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	if _, err := t.dec.Token(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}
