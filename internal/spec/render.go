package spec

import (
	"fmt"
	"regexp"
	"strings"
)

// mark is the comment that may end a line: since, until or both.
var mark = regexp.MustCompile(`^--(?: since ([0-9.]+))?(?: until ([0-9.]+))?$`)

// alias is the name a line gives its column.
var alias = regexp.MustCompile(`(?i)\bAS ([a-z_][a-z0-9_]*)$`)

// Render returns the text for e: marked lines kept without their mark or left
// out, @extschema@ replaced. Any other -- in the text is refused, so a mistyped
// mark cannot pass. Columns are written one a line with leading commas, so that
// any but the first can go.
func Render(sql string, e Env) (string, error) {
	var out []string
	for i, line := range strings.Split(strings.Trim(sql, "\n"), "\n") {
		text, since, until, err := splitMark(line)
		if err != nil {
			return "", fmt.Errorf("line %d %q: %w", i+1, strings.TrimSpace(line), err)
		}
		if e.fits(since, until) {
			out = append(out, text)
		}
	}
	return strings.ReplaceAll(strings.Join(out, "\n"), "@extschema@", quoteIdent(e.Schema)), nil
}

// splitMark parts a line from its mark.
func splitMark(line string) (text string, since, until Version, err error) {
	at := strings.Index(line, "--")
	if at < 0 {
		return strings.TrimRight(line, " \t"), 0, 0, nil
	}
	text = strings.TrimRight(line[:at], " \t")
	m := mark.FindStringSubmatch(strings.TrimRight(line[at:], " \t"))
	if m == nil || m[1] == "" && m[2] == "" {
		return "", 0, 0, fmt.Errorf("%q is no mark; write -- since N, -- until N or both", strings.TrimSpace(line[at:]))
	}
	if m[1] != "" {
		if since, err = ParseVersion(m[1]); err != nil {
			return "", 0, 0, err
		}
	}
	if m[2] != "" {
		if until, err = ParseVersion(m[2]); err != nil {
			return "", 0, 0, err
		}
	}
	return text, since, until, nil
}

// quoteIdent quotes a schema's name as SQL wants it.
func quoteIdent(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Aliases returns the columns of the rendered text's result, in their order: the
// names that its lines end in with AS, from its last SELECT outside parentheses
// to the FROM that follows. It knows no more of SQL than the form collectors are
// written in: one column a line, the alias at the line's end.
func Aliases(rendered string) []string {
	var names []string
	depth, list := 0, true
	for line := range strings.Lines(rendered) {
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(line, " ")
		if depth == 0 {
			switch strings.ToUpper(word) {
			case "SELECT":
				names, list = nil, true
			case "FROM":
				list = false
			}
		}
		depth += nesting(line)
		if m := alias.FindStringSubmatch(line); m != nil && depth == 0 && list {
			names = append(names, m[1])
		}
	}
	return names
}

// nesting returns how many parentheses a line opens and leaves open, less those
// it closes of lines before; those in literals and quoted names do not count.
func nesting(line string) int {
	depth := 0
	var quote rune
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '(':
			depth++
		case r == ')':
			depth--
		}
	}
	return depth
}

// DropLine removes the line that holds the character at position (from 1, as
// PostgreSQL reports errors) and returns the rest and the column it gave. ok is
// false where the line cannot go: it does not begin with a comma, or names no
// column.
func DropLine(rendered string, position int) (rest, column string, ok bool) {
	lines := strings.Split(rendered, "\n")
	for i, line := range lines {
		length := len([]rune(line)) + 1
		if position > length {
			position -= length
			continue
		}
		m := alias.FindStringSubmatch(strings.TrimSpace(line))
		if !strings.HasPrefix(strings.TrimSpace(line), ",") || m == nil {
			return "", "", false
		}
		return strings.Join(append(lines[:i:i], lines[i+1:]...), "\n"), m[1], true
	}
	return "", "", false
}
