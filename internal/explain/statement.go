package explain

import (
	"fmt"
	"slices"
	"strings"
)

// statement is a text that has a plan.
type statement struct {
	lexed
	verb  string   // SELECT, INSERT, …
	types []string // of the parameters, as PREPARE named them
}

// verbs begin what has a plan.
var verbs = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE"}

// examine decides whether a text is one statement that has a plan. It is the first
// of three guards: the server parses the text by itself, which takes exactly one
// statement, and nothing is executed.
func examine(sql string) (statement, error) {
	l, err := newLexed(sql)
	if err != nil {
		return statement{}, refuse(ReasonText, "the text of the statement cannot be read: "+err.Error(), "")
	}
	for len(l.tokens) > 0 && l.is(len(l.tokens)-1, ";") {
		l.tokens = l.tokens[:len(l.tokens)-1]
	}
	if len(l.tokens) == 0 {
		return statement{}, refuse(ReasonText, "the text of the statement is empty", "")
	}
	for i := range l.tokens {
		if l.is(i, ";") {
			return statement{}, refuse(ReasonText, "the text is of more than one statement", "")
		}
	}
	var types []string
	if l.is(0, "PREPARE") {
		if l, types, err = prepared(l); err != nil {
			return statement{}, err
		}
	}
	verb := l.verb()
	if !slices.Contains(verbs, verb) {
		return statement{}, utility(l)
	}
	if verb == "SELECT" && l.into() {
		return statement{}, refuse(ReasonUtility, "SELECT INTO is a utility statement, which makes a table", "Explain its SELECT without INTO by hand.")
	}
	return statement{lexed: l, verb: verb, types: types}, nil
}

// prepared takes PREPARE name (types) AS off a statement: what EXECUTE runs is kept
// under that text.
func prepared(l lexed) (lexed, []string, error) {
	i := 2
	var types []string
	if l.is(i, "(") {
		end := l.closing(i)
		for begin := i + 1; begin < end; {
			comma := begin
			for comma < end && !l.is(comma, ",") {
				if l.is(comma, "(", "[") {
					comma = l.closing(comma)
				}
				comma++
			}
			comma = min(comma, end)
			if comma > begin {
				types = append(types, l.sql[l.tokens[begin].start:l.tokens[comma-1].end])
			}
			begin = comma + 1
		}
		i = end + 1
	}
	if !l.is(i, "AS") || i+1 >= len(l.tokens) {
		return l, nil, utility(l)
	}
	// Positions that the server tells are of what it is sent.
	rest, err := newLexed(l.sql[l.tokens[i+1].start:l.tokens[len(l.tokens)-1].end])
	if err != nil {
		return l, nil, refuse(ReasonText, "the text of the statement cannot be read: "+err.Error(), "")
	}
	return rest, types, nil
}

// utility refuses what has no plan. It names no more than the first word: the rest
// may hold a password.
func utility(l lexed) error {
	if l.kind(0) != word {
		return refuse(ReasonUtility, "the text does not begin like a statement", "")
	}
	what := strings.ToUpper(l.at(0))
	switch what {
	case "DECLARE":
		return refuse(ReasonUtility, "DECLARE is a utility statement; its query has no entry of its own", "Explain the query of the cursor by hand, with cursor_tuple_fraction in mind.")
	case "EXPLAIN", "COPY", "CREATE", "REFRESH":
		return refuse(ReasonUtility, what+" is a utility statement, which has no plan of its own", "If there is a query in it, explain that by hand.")
	}
	return refuse(ReasonUtility, fmt.Sprintf("%.40s is a utility statement, which has no plan", what), "")
}

// verb returns what a statement begins with, behind parentheses and WITH.
func (l lexed) verb() string {
	i := 0
	for l.is(i, "(") {
		i++
	}
	if l.is(i, "WITH") {
		i = l.behindWith(i)
	}
	for l.is(i, "(") {
		i++
	}
	if l.kind(i) != word {
		return ""
	}
	return strings.ToUpper(l.at(i))
}

// behindWith passes WITH and its queries: name (columns) AS MATERIALIZED (query), …
func (l lexed) behindWith(i int) int {
	i++
	if l.is(i, "RECURSIVE") {
		i++
	}
	for i < len(l.tokens) {
		i++ // the name
		if l.is(i, "(") {
			i = l.closing(i) + 1
		}
		for i < len(l.tokens) && !l.is(i, "(") {
			i++ // AS NOT MATERIALIZED
		}
		i = l.closing(i) + 1
		// Their lists of columns have commas, too.
		if l.is(i, "SEARCH") {
			i = l.behind(i, "SET")
		}
		if l.is(i, "CYCLE") {
			i = l.behind(i, "USING")
		}
		if !l.is(i, ",") {
			break
		}
		i++
	}
	return i
}

// behind returns what follows the name behind a key word.
func (l lexed) behind(i int, key string) int {
	for i < len(l.tokens) && !l.is(i, key) {
		i++
	}
	return i + 2
}

// into reports whether INTO stands in the statement itself, outside parentheses.
func (l lexed) into() bool {
	for i := 0; i < len(l.tokens); i++ {
		if i > 0 && l.is(i, "(", "[") {
			i = l.closing(i)
		}
		if l.is(i, "INTO") {
			return true
		}
	}
	return false
}
