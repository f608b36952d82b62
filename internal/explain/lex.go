package explain

import (
	"errors"
	"strconv"
	"strings"
)

// kind is what a token is.
type kind uint8

const (
	word   kind = iota + 1 // an identifier or a key word
	quoted                 // an identifier in double quotes
	text                   // a string, in any of the ways to write one
	number
	param // $1
	sign  // one character of an operator or of punctuation
)

// token is a part of a statement: white space and comments are between them.
type token struct {
	kind       kind
	start, end int // bytes
}

// errUnended says that a text ends within a string, a name or a comment.
var errUnended = errors.New("the text ends within a string, a quoted name or a comment")

// lex parts a text as PostgreSQL does (scan.l, the same from 13 to 18) where
// standard_conforming_strings is on. What it does not know it takes for signs.
func lex(s string) ([]token, error) {
	var tokens []token
	for at := 0; ; {
		var err error
		if at, err = skipSpace(s, at); err != nil {
			return nil, err
		}
		if at == len(s) {
			return tokens, nil
		}
		t := token{kind: sign, start: at, end: at + 1}
		switch c := s[at]; {
		case c == '\'':
			t.kind = text
			t.end, err = stringEnd(s, at, false)
		case strings.IndexByte("eEbBxXnN", c) >= 0 && at+1 < len(s) && s[at+1] == '\'':
			t.kind = text
			t.end, err = stringEnd(s, at+1, c == 'e' || c == 'E')
		case (c == 'u' || c == 'U') && strings.HasPrefix(s[at+1:], "&'"):
			t.kind = text
			t.end, err = stringEnd(s, at+2, false)
		case (c == 'u' || c == 'U') && strings.HasPrefix(s[at+1:], `&"`):
			t.kind = quoted
			t.end, err = quoteEnd(s, at+2, false)
		case c == '"':
			t.kind = quoted
			t.end, err = quoteEnd(s, at, false)
		case c == '$':
			t, err = dollar(s, at)
		case isDigit(c), c == '.' && at+1 < len(s) && isDigit(s[at+1]):
			t.kind, t.end = number, numberEnd(s, at)
		case isLetter(c):
			t.kind, t.end = word, wordEnd(s, at)
		}
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		at = t.end
	}
}

// skipSpace passes white space and comments.
func skipSpace(s string, at int) (int, error) {
	for at < len(s) {
		switch {
		case isSpace(s[at]):
			at++
		case strings.HasPrefix(s[at:], "--"):
			at = lineEnd(s, at)
		case strings.HasPrefix(s[at:], "/*"):
			var err error
			if at, err = commentEnd(s, at); err != nil {
				return 0, err
			}
		default:
			return at, nil
		}
	}
	return at, nil
}

// lineEnd is where a comment that begins with -- ends.
func lineEnd(s string, at int) int {
	if n := strings.IndexAny(s[at:], "\n\r"); n >= 0 {
		return at + n
	}
	return len(s)
}

// commentEnd is behind a comment that begins with /*, which may hold others.
func commentEnd(s string, at int) (int, error) {
	depth := 0
	for at+1 < len(s) {
		switch s[at : at+2] {
		case "/*":
			depth++
			at += 2
		case "*/":
			depth--
			at += 2
			if depth == 0 {
				return at, nil
			}
		default:
			at++
		}
	}
	return 0, errUnended
}

// quoteEnd is behind a text in quotes, of which two stand for one. In some a
// backslash takes the next character's meaning away.
func quoteEnd(s string, at int, backslash bool) (int, error) {
	quote := s[at]
	for at++; at < len(s); at++ {
		switch {
		case backslash && s[at] == '\\':
			at++
		case s[at] != quote:
		case at+1 < len(s) && s[at+1] == quote:
			at++
		default:
			return at + 1, nil
		}
	}
	return 0, errUnended
}

// stringEnd is behind a string, which goes on where nothing but white space with a
// line's end is before the next quote.
func stringEnd(s string, at int, backslash bool) (int, error) {
	for {
		end, err := quoteEnd(s, at, backslash)
		if err != nil {
			return 0, err
		}
		next, line := end, false
		for next < len(s) {
			if strings.HasPrefix(s[next:], "--") {
				next = lineEnd(s, next)
				continue
			}
			if !isSpace(s[next]) {
				break
			}
			line = line || s[next] == '\n' || s[next] == '\r'
			next++
		}
		if !line || next == len(s) || s[next] != '\'' {
			return end, nil
		}
		at = next
	}
}

// dollar reads a parameter, or a string between dollars.
func dollar(s string, at int) (token, error) {
	t := token{kind: sign, start: at, end: at + 1}
	end := at + 1
	if end < len(s) && isDigit(s[end]) {
		for end < len(s) && isDigit(s[end]) {
			end++
		}
		return token{kind: param, start: at, end: end}, nil
	}
	if end < len(s) && isLetter(s[end]) {
		for end < len(s) && (isLetter(s[end]) || isDigit(s[end])) {
			end++
		}
	}
	if end == len(s) || s[end] != '$' {
		return t, nil
	}
	tag := s[at : end+1]
	n := strings.Index(s[end+1:], tag)
	if n < 0 {
		return t, errUnended
	}
	return token{kind: text, start: at, end: end + 1 + n + len(tag)}, nil
}

// numberEnd is behind a number. What is behind that and cannot be is for the server
// to refuse.
func numberEnd(s string, at int) int {
	for at++; at < len(s); at++ {
		c := s[at]
		signed := (c == '+' || c == '-') && (s[at-1] == 'e' || s[at-1] == 'E') && at+1 < len(s) && isDigit(s[at+1])
		if !isDigit(c) && !isLetter(c) && c != '.' && !signed {
			break
		}
	}
	return at
}

func wordEnd(s string, at int) int {
	for at++; at < len(s) && (isLetter(s[at]) || isDigit(s[at]) || s[at] == '$'); at++ {
	}
	return at
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isLetter reports whether a name may begin so; bytes of other characters may.
func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

// lexed is a text and its tokens.
type lexed struct {
	sql    string
	tokens []token
	pairs  []pair // by token
}

// pair tells of parentheses and brackets.
type pair struct {
	in    int // that a token is within; -1 is none
	close int // of one that opens; the number of tokens where there is none
	open  int // of one that closes; -1 is none
}

func newLexed(sql string) (lexed, error) {
	tokens, err := lex(sql)
	l := lexed{sql: sql, tokens: tokens, pairs: make([]pair, len(tokens))}
	in := -1
	for i := range tokens {
		opened := -1
		if l.is(i, ")", "]") && in >= 0 {
			opened = in
			l.pairs[in].close = i
			in = l.pairs[in].in
		}
		l.pairs[i] = pair{in: in, close: len(tokens), open: opened}
		if l.is(i, "(", "[") {
			in = i
		}
	}
	return l, err
}

// at returns a token's text; "" behind the last.
func (l lexed) at(i int) string {
	if i < 0 || i >= len(l.tokens) {
		return ""
	}
	return l.sql[l.tokens[i].start:l.tokens[i].end]
}

// kind returns a token's kind; 0 where there is none.
func (l lexed) kind(i int) kind {
	if i < 0 || i >= len(l.tokens) {
		return 0
	}
	return l.tokens[i].kind
}

// is reports whether a token is one of these key words or signs.
func (l lexed) is(i int, what ...string) bool {
	if k := l.kind(i); k != word && k != sign {
		return false
	}
	for _, w := range what {
		if strings.EqualFold(l.at(i), w) {
			return true
		}
	}
	return false
}

// number returns which parameter a token is.
func (l lexed) number(i int) int {
	// A number that is too large is none that the server has.
	n, _ := strconv.Atoi(strings.TrimPrefix(l.at(i), "$"))
	return n
}

// closing returns the token that closes what a token opens, or the number of tokens.
func (l lexed) closing(i int) int {
	if i < 0 || i >= len(l.tokens) {
		return len(l.tokens)
	}
	return min(l.pairs[i].close, len(l.tokens))
}
