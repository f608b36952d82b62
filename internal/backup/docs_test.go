package backup

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// documented returns the fenced blocks of a language in docs/backups.md, below a heading.
func documented(t testing.TB, heading, language string) []string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/backups.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n"+heading+"\n")
	if !found {
		t.Fatalf("docs/backups.md has no heading %q", heading)
	}
	level := heading[:strings.IndexByte(heading, ' ')+1]
	section, _, _ = strings.Cut(section, "\n"+level)
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("docs/backups.md has no block of %s below %q", language, heading)
	}
	return blocks
}

// TestDocumentedFiles reads the examples of the documentation.
func TestDocumentedFiles(t *testing.T) {
	examples := append(documented(t, "## A file of your own", "json"), documented(t, "## A file of your own", "text")...)
	for _, text := range examples {
		r, err := lookFile(Config{Kind: File, Tool: "nightly", Stanza: "orders", Path: factsFile(t, text)})
		if err != nil || r.RestoreProven.IsZero() {
			t.Errorf("%s\n%v: %+v", text, err, r)
		}
	}
}

// TestDocumentedKeys holds that each key and metric of a file is documented in a table.
func TestDocumentedKeys(t *testing.T) {
	doc, err := os.ReadFile("../../docs/backups.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range documented(t, "## A file of your own", "json") {
		for _, m := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile("(?m)^\\|[^|]*`" + m[1] + "`[^|]*\\|").Match(doc) {
				t.Errorf("docs/backups.md has no row for %s", m[1])
			}
		}
	}
}
