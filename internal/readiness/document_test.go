package readiness_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/readiness"
)

func TestDocumentIsCurrent(t *testing.T) {
	var want bytes.Buffer
	if err := readiness.Document(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/readiness.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("docs/readiness.md is not what make generate writes (-want +got):\n%s", diff)
	}
}
