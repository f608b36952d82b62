package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	events := `
{"Action":"output","Package":"p","Test":"TestA/13","Output":"=== RUN   TestA/13\n"}
{"Action":"output","Package":"p","Test":"TestA/13","Output":"    a_test.go:1: nothing of interest\n"}
{"Action":"pass","Package":"p","Test":"TestA/13"}
{"Action":"pass","Package":"p","Test":"TestA/18/deep"}
{"Action":"pass","Package":"p","Test":"TestA/99"}
{"Action":"skip","Package":"p","Test":"TestA/14"}
{"Action":"output","Package":"p","Test":"TestA/18/deep","Output":"summary: seven things seen\n"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"pgtest: PostgreSQL 13.23, 18.4\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t1.0s\n"}
{"Action":"pass","Package":"p"}
{"Action":"output","Package":"q","Test":"TestB","Output":"    b_test.go:1: wrong\n"}
{"Action":"output","Package":"q","Test":"TestB","Output":"--- FAIL: TestB (0.00s)\n"}
{"Action":"fail","Package":"q","Test":"TestB"}
{"Action":"output","Package":"q","Test":"TestC","Output":"panic: ouch\n"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.1s\n"}
{"Action":"fail","Package":"q"}
{"ImportPath":"r","Action":"build-output","Output":"r.go:1: syntax error\n"}
`
	var b strings.Builder
	if err := newReport(&b).read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	want := "ok  \tp\t1.0s\n" +
		"    b_test.go:1: wrong\n--- FAIL: TestB (0.00s)\npanic: ouch\nFAIL\tq\t0.1s\n" +
		"r.go:1: syntax error\n" +
		"seven things seen\n" +
		"skipped: p TestA/14\n" +
		"passed on PostgreSQL 13.23: 1\npassed on PostgreSQL 18.4: 1\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("the report is not what it should be (-want +got):\n%s", diff)
	}
}
