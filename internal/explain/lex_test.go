package explain

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// TestLex holds what is one token.
func TestLex(t *testing.T) {
	for sql, want := range map[string][]string{
		"":                              nil,
		" \t\n-- ;\n/* ; /* ; */ ; */ ": nil,
		"a'b'":                          {"a", "'b'"},
		"ae'b\\'":                       {"ae", `'b\'`},
		`E'a\'b' e'\\'`:                 {`E'a\'b'`, `e'\\'`},
		`'a\' ';'`:                      {`'a\'`, `';'`},
		"'it''s'":                       {"'it''s'"},
		"'a'\n -- c\n 'b;'":             {"'a'\n -- c\n 'b;'"},
		"'a' 'b'":                       {"'a'", "'b'"},
		"E'a'\n'\\';'":                  {"E'a'\n'\\';'"},
		"U&'a' UESCAPE '!'":             {"U&'a'", "UESCAPE", "'!'"},
		`"a;""b" U&"c;"`:                {`"a;""b"`, `U&"c;"`},
		"$$a;$$ $x$b;$$;$x$ $1 $a":      {"$$a;$$", "$x$b;$$;$x$", "$1", "$", "a"},
		"a$b$c x$1":                     {"a$b$c", "x$1"},
		"1.5e-3-2 .5 0x1F 1_000":        {"1.5e-3", "-", "2", ".5", "0x1F", "1_000"},
		"a-->b;\nc":                     {"a", "c"},
		"a*/*;*/b":                      {"a", "*", "b"},
		"größe::text[]":                 {"größe", ":", ":", "text", "[", "]"},
		"x'1F' b'01' n'a' B ''":         {"x'1F'", "b'01'", "n'a'", "B", "''"},
	} {
		l, err := newLexed(sql)
		if err != nil {
			t.Errorf("%q: %v", sql, err)
			continue
		}
		var got []string
		for i := range l.tokens {
			got = append(got, l.at(i))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", sql, diff)
		}
	}
	for _, sql := range []string{"'a", `"a`, "$$a", "$x$ $$", "/* /* */", `E'\'`, "U&'", "'a'\n'b"} {
		if _, err := lex(sql); !errors.Is(err, errUnended) {
			t.Errorf("%q: %v", sql, err)
		}
	}
}

// TestExamine decides what is one statement that has a plan.
func TestExamine(t *testing.T) {
	for sql, verb := range map[string]string{
		"SELECT 1": "SELECT", "select 1 ; ;": "SELECT", "-- c\n(/* d */(VALUES (1)))": "VALUES", "TABLE t": "TABLE",
		"insert INTO t VALUES ($1)": "INSERT", "UPDATE t SET a = 1": "UPDATE", "DELETE FROM t": "DELETE", "MERGE INTO t USING u ON true": "MERGE",
		"SELECT ';', $$;$$, \";\" /* ; */": "SELECT",
		"WITH a AS (SELECT 1), b (x, y) AS NOT MATERIALIZED (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM a":                           "INSERT",
		"WITH RECURSIVE update AS (SELECT 1) SELECT 1":                                                                                           "SELECT",
		"WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY x, y SET delete CYCLE x, y SET c TO 1 DEFAULT 0 USING p, b AS (SELECT 2) UPDATE t SET a = 1": "UPDATE",
		"WITH a AS (SELECT 1) (SELECT 2)":                    "SELECT",
		"PREPARE q AS SELECT 1":                              "SELECT",
		"PREPARE \"q q\" (int, numeric(1, 2)) AS VALUES (1)": "VALUES",
		"SELECT (SELECT 1 INTO)":                             "SELECT", // wrong, and for the server to say
	} {
		if st, err := examine(sql); err != nil || st.verb != verb {
			t.Errorf("%q: %q, %v, want %s", sql, st.verb, err, verb)
		}
	}
	for sql, reason := range map[string]Reason{
		"": ReasonText, ";": ReasonText, "-- SELECT 1": ReasonText, "SELECT 'a": ReasonText, "(": ReasonUtility, "$1": ReasonUtility, "'SELECT'": ReasonUtility, `"SELECT" 1`: ReasonUtility,
		"SELECT 1; SELECT 2": ReasonText, "SELECT 1; DROP TABLE t": ReasonText, "SELECT 1 /* ; */ ; DROP TABLE t --": ReasonText, "SELECT $1;--\nDROP TABLE t": ReasonText,
		"SELECT 'a\\'; DROP TABLE t; --'": ReasonText, "SELECT $a$ $a$; DROP TABLE t": ReasonText, "SELECT E'\\''; DROP TABLE t; --'": ReasonText,
		"DROP TABLE t": ReasonUtility, "EXPLAIN ANALYZE DELETE FROM t": ReasonUtility, "ANALYZE": ReasonUtility, "CREATE TABLE t AS SELECT 1": ReasonUtility,
		"DECLARE c CURSOR FOR SELECT 1": ReasonUtility, "COPY t TO STDOUT": ReasonUtility, "CALL p()": ReasonUtility, "DO $$ $$": ReasonUtility, "EXECUTE q": ReasonUtility,
		"SELECT 1 INTO x": ReasonUtility, "WITH a AS (SELECT 1) SELECT * INTO x FROM a": ReasonUtility, "PREPARE q": ReasonUtility, "PREPARE q AS DROP TABLE t": ReasonUtility,
		"PREPARE q AS": ReasonUtility, "PREPARE q AS PREPARE p AS SELECT 1": ReasonUtility, "SELECTED": ReasonUtility, "WITH": ReasonUtility, "WITH a AS (SELECT 1)": ReasonUtility,
		"WITH a AS (SELECT 1) DROP TABLE t": ReasonUtility,
	} {
		_, err := examine(sql)
		var r *Refusal
		if !errors.As(err, &r) || r.Reason != reason {
			t.Errorf("%q: %v, want %s", sql, err, reason)
		}
	}
}

// FuzzExamine holds what must be so of any text that is taken for one statement, and
// that mending leaves one.
func FuzzExamine(f *testing.F) {
	for _, sql := range []string{
		"SELECT 1; SELECT 2", "SELECT 'a;b', $$;$$ -- ;\n FROM \"t;\" /* ; /* ; */ */;", "WITH a AS (SELECT $1) INSERT INTO t SELECT * FROM a",
		"PREPARE q (int, text) AS SELECT $1", "SELECT E'\\';', U&'\\0061;' UESCAPE '!'", "'a'\n'b;'", "SELECT extract($1 FROM t), interval $2 day GROUP BY f('x', a), b + 1",
		"DECLARE c CURSOR FOR SELECT 1", "SELECT x INTO y", "((((", "SELECT CASE WHEN a = $1 THEN $2 END LIMIT $3",
	} {
		f.Add(sql, 8)
	}
	f.Fuzz(func(t *testing.T, sql string, position int) {
		tokens, err := lex(sql)
		if err == nil {
			covered(t, sql, tokens)
		}
		st, err := examine(sql)
		if err != nil {
			return
		}
		for i := range st.tokens {
			if st.at(i) == ";" {
				t.Fatalf("%q has a semicolon in it", sql)
			}
		}
		for _, state := range []string{"42P18", "42601", "42803", "42883"} {
			d := &draft{statement: st, given: map[int]uint32{}}
			for range mends {
				if !d.mend(postgres.Fault{State: state, Message: "$2", Position: position}) {
					break
				}
			}
			again, err := examine(d.sql)
			if err != nil || again.verb != st.verb {
				t.Fatalf("%q became %q: %v", sql, d.sql, err)
			}
		}
	})
}

// TestLongText: what a list of the most parameters there may be takes, grows with its
// length only.
func TestLongText(t *testing.T) {
	var b strings.Builder
	b.WriteString("SELECT $1, f($2, ((a))) FROM t WHERE id IN (")
	for i := 3; i <= 65535; i++ {
		fmt.Fprintf(&b, "(($%d)), ", i)
	}
	b.WriteString("1) GROUP BY f('x', ((a)))")
	began := time.Now()
	st, err := examine(b.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"42P18", "42601", "42803", "42883"} {
		d := &draft{statement: st, given: map[int]uint32{}}
		for range mends {
			d.mend(postgres.Fault{State: state, Message: "$2", Position: 8})
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

// covered holds that tokens are in order, and what is between them is no part of a statement.
func covered(t *testing.T, sql string, tokens []token) {
	t.Helper()
	at := 0
	for _, tok := range append(tokens, token{start: len(sql), end: len(sql)}) {
		if tok.start < at || tok.end < tok.start || tok.end > len(sql) {
			t.Fatalf("%q: token %v after %d", sql, tok, at)
		}
		if end, err := skipSpace(sql, at); err != nil || end != tok.start {
			t.Fatalf("%q: %q is between tokens", sql, sql[at:tok.start])
		}
		at = tok.end
	}
}

// TestExamineAgainstServer has the server say of texts made at random, of parts that
// are hard to tell apart, whether they are one statement.
func TestExamineAgainstServer(t *testing.T) {
	parts := []string{
		"'a;b'", "E'\\';'", "'\\'", "$$;$$", "$q$ $$;' $q$", "1", "(SELECT 2)", `"c;"`, "U&'\\0061;'", "'x'\n';y'", "E'x'\n'\\';'", "b'01'", "a$b", "-1", "ARRAY[1]", "'it''s;'",
		"N'n;'", "x'1F'", "1.5e-3", "$1", "'a'::text", "CASE WHEN true THEN ';' END", "E'\\\\'", `U&"d\0061t;"`,
	}
	spaces := []string{" ", "\n", "\t", " -- ; '\n", " /* ; ' /* \" */ $$ */ ", "\f", " --\r\n"}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv)
		session, err := l.us.Borrow(t.Context(), l.database)
		if err != nil {
			t.Fatal(err)
		}
		defer l.us.Return(t.Context(), session, false)
		random := rand.New(rand.NewPCG(7, uint64(srv.Major)))
		one := func(from []string) string { return from[random.IntN(len(from))] }
		single, several := 0, 0
		for range 400 {
			var b strings.Builder
			statements := 1 + random.IntN(2)
			for i := range statements {
				if i > 0 {
					b.WriteString(";" + one(spaces))
				}
				b.WriteString("SELECT" + one(spaces) + one(parts))
				for range random.IntN(4) {
					b.WriteString(one(spaces) + "," + one(spaces) + one(parts))
				}
				b.WriteString(one(spaces) + "FROM (SELECT 1 AS \"c;\", 2 AS a$b, 3 AS \"dat;\") AS x" + one(spaces))
			}
			if random.IntN(3) == 0 {
				b.WriteString(";" + one(spaces))
			}
			sql := b.String()
			types, err := session.Parse(t.Context(), postgres.Statement{SQL: sql, Timeout: time.Second, Settings: []postgres.Setting{{Name: "standard_conforming_strings", Value: "on"}}})
			fault, told := postgres.FaultOf(err)
			if err != nil && !told {
				t.Fatal(err)
			}
			st, refused := examine(sql)
			switch {
			case err == nil && statements == 1:
				single++
				if refused != nil || st.verb != "SELECT" {
					t.Errorf("%q: the server takes it (%v), we say %v", sql, types, refused)
				}
			case err != nil && statements == 2 && strings.Contains(fault.Message, "multiple commands"):
				several++
				if refused == nil {
					t.Errorf("%q: the server says %s, we take it", sql, fault.Message)
				}
			default:
				t.Errorf("%q of %d statements: the server says %v", sql, statements, err)
			}
		}
		if single < 100 || several < 100 {
			t.Errorf("%d were one, %d more", single, several)
		}
	})
}
