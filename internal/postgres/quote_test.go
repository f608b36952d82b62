package postgres_test

import (
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

func TestQuoteIdent(t *testing.T) {
	for _, tt := range [][2]string{{"abc_1", "abc_1"}, {"1a", `"1a"`}, {"A", `"A"`}, {"user", `"user"`}, {`a"b`, `"a""b"`}, {"", `""`}, {"a$", `"a$"`}} {
		if got := postgres.QuoteIdent(tt[0]); got != tt[1] {
			t.Errorf("%q is quoted as %s, want %s", tt[0], got, tt[1])
		}
	}
}

// TestKeyWords: those that are not free to be names are quoted, and no others.
func TestKeyWords(t *testing.T) {
	srv := servers.On(t, 18)
	for reserved, quote := range map[string]string{"<> 'U'": `"`, "= 'U'": ""} {
		words := strings.Fields(srv.Query(t, "postgres", "SELECT string_agg(word, ' ') FROM pg_get_keywords() WHERE catcode "+reserved))
		if len(words) < 50 {
			t.Errorf("the server has %d key words of catcode %s", len(words), reserved)
		}
		for _, word := range words {
			if got := postgres.QuoteIdent(word); got != quote+word+quote {
				t.Errorf("%s is quoted as %s", word, got)
			}
		}
	}
}
