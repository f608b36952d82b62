// Package pages looks at the pages for people as a browser shows them.
package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// browserTimeout bounds one look of the browser, which takes some seconds.
const browserTimeout = 2 * time.Minute

// width of the window, as of a notebook; a page that does not fit has a scrollbar there.
const width = 1200

// TestPages holds that pages show what their JSON says, without a script, by day, by
// night and on paper. KEEP=DIR keeps what the browser showed.
func TestPages(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{})
	url := watch(t, srv.DSN(pgtest.Nobody, "postgres"))
	b := newBrowser(t)
	get(t, url+"/metrics") // of what is judged and listed

	t.Run("readiness", func(t *testing.T) {
		var report struct {
			Checks []struct{ Name, Verdict, Question string }
		}
		decode(t, get(t, url+"/readiness?format=json"), &report)
		want := map[string]string{}
		for _, c := range report.Checks {
			want[c.Name] = c.Verdict
		}
		if len(want) < 40 {
			t.Errorf("the report has %d checks, fewer than 40", len(want))
		}
		document := look(t, b, "readiness", url+"/readiness")
		if diff := cmp.Diff(want, pairs(document, `(?s)<div class="check" id="(\w+)">\s*<p class="verdict \w+">(\w+)</p>`)); diff != "" {
			t.Errorf("page and JSON differ (-JSON +page):\n%s", diff)
		}
		for _, c := range report.Checks {
			if !strings.Contains(document, html.EscapeString(c.Question)) {
				t.Errorf("the page does not ask %q", c.Question)
			}
		}
	})

	t.Run("collectors", func(t *testing.T) {
		var report struct {
			Collectors []struct{ Name, State string }
			Grants     []struct{ Statement string }
		}
		decode(t, get(t, url+"/collectors?format=json"), &report)
		want := map[string]string{}
		for _, c := range report.Collectors {
			want[c.Name] = c.State
		}
		document := look(t, b, "collectors", url+"/collectors")
		if diff := cmp.Diff(want, pairs(document, `(?s)<tr id="(\w+)"><td><code>\w+</code></td><td><span class="\w+">(\w+)</span>`)); diff != "" {
			t.Errorf("page and JSON differ (-JSON +page):\n%s", diff)
		}
		if len(report.Grants) == 0 {
			t.Error("a role that nothing was granted to lacks no grant")
		}
		for _, g := range report.Grants {
			if !strings.Contains(document, html.EscapeString(g.Statement)) {
				t.Errorf("the page does not have %q", g.Statement)
			}
		}
	})
}

// look has the browser show a page in all ways, and returns it as the browser has
// understood it.
func look(t *testing.T, b *browser, name, url string) string {
	t.Helper()
	document := b.dom(t, url)
	if strings.Contains(document, "<script") {
		t.Error("the page has a script")
	}
	if l := brightness(b.screenshot(t, name+"-day", url, light)); l < 0.9 {
		t.Errorf("the background by day has a brightness of %.2f", l)
	}
	if l := brightness(b.screenshot(t, name+"-night", url, dark)); l > 0.3 {
		t.Errorf("the background by night has a brightness of %.2f", l)
	}
	if paper := b.print(t, name, url); !strings.HasPrefix(paper, "%PDF-") {
		t.Errorf("what is printed is no document: %.20q", paper)
	}
	return document
}

// pairs are what the two groups of a pattern find.
func pairs(document, pattern string) map[string]string {
	found := map[string]string{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(document, -1) {
		found[m[1]] = m[2]
	}
	return found
}

// decode reads JSON.
func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// watch starts the exporter on a server and returns its URL.
func watch(t *testing.T, dsn string) string {
	t.Helper()
	binary, err := exporter.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	address, err := exporter.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := exporter.Start(t.Context(), binary, address, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p.URL
}

// get returns what is at a URL.
func get(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, resp.Status, err, body)
	}
	return body
}

// What a reader prefers, as the browser is told.
const (
	dark  = "--blink-settings=preferredColorScheme=0"
	light = "--blink-settings=preferredColorScheme=1"
)

// browser is a headless Chromium.
type browser struct {
	path string
	keep string // where pictures stay
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	b := &browser{path: pgtest.Program(t, "chromium"), keep: os.Getenv("KEEP")}
	if b.keep == "" {
		b.keep = t.TempDir()
	}
	return b
}

// run starts it for one look, and returns what it printed.
func (b *browser) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), browserTimeout)
	defer cancel()
	profile, err := os.MkdirTemp("", "pgvigil-browser-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile) //nolint:errcheck // a process of the browser may still write there
	cmd := exec.CommandContext(ctx, b.path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir=" + profile,
	}, args...)...)
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, failure.String())
	}
	return string(out)
}

// dom is a page as the browser has understood it.
func (b *browser) dom(t *testing.T, url string) string {
	t.Helper()
	return b.run(t, light, "--dump-dom", url)
}

// screenshot is a picture of a page, whole.
func (b *browser) screenshot(t *testing.T, name, url, scheme string) image.Image {
	t.Helper()
	path := filepath.Join(b.keep, name+".png")
	b.run(t, scheme, fmt.Sprintf("--window-size=%d,%d", width, 4000), "--screenshot="+path, url)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return picture
}

// print is a page as it goes to paper.
func (b *browser) print(t *testing.T, name, url string) string {
	t.Helper()
	path := filepath.Join(b.keep, name+".pdf")
	b.run(t, light, "--no-pdf-header-footer", "--print-to-pdf="+path, url)
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// brightness of the background of a page, from 0 to 1: of its corner.
func brightness(picture image.Image) float64 {
	r, g, b, _ := picture.At(picture.Bounds().Min.X+2, picture.Bounds().Min.Y+2).RGBA()
	return float64(r+g+b) / (3 * 0xffff)
}
