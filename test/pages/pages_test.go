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

// TestReadiness holds that the page of readiness shows what its JSON says, without a
// script, by day, by night and on paper. KEEP=DIR keeps what the browser showed.
func TestReadiness(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{})
	url := watch(t, srv.DSN("postgres", "postgres"))
	b := newBrowser(t)

	var report struct {
		Checks []struct{ Name, Verdict, Question string }
	}
	if err := json.Unmarshal(get(t, url+"/readiness?format=json"), &report); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, c := range report.Checks {
		want[c.Name] = c.Verdict
	}
	if len(want) < 40 {
		t.Errorf("the report has %d checks, fewer than 40", len(want))
	}

	document := b.dom(url + "/readiness")
	got := map[string]string{}
	for _, m := range check.FindAllStringSubmatch(document, -1) {
		got[m[1]] = m[2]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("page and JSON differ (-JSON +page):\n%s", diff)
	}
	if strings.Contains(document, "<script") {
		t.Error("the page has a script")
	}
	for _, c := range report.Checks {
		if !strings.Contains(document, html.EscapeString(c.Question)) {
			t.Errorf("the page does not ask %q", c.Question)
		}
	}

	day, night := b.screenshot("readiness-day", url+"/readiness", light), b.screenshot("readiness-night", url+"/readiness", dark)
	if l := brightness(day); l < 0.9 {
		t.Errorf("the background by day has a brightness of %.2f", l)
	}
	if l := brightness(night); l > 0.3 {
		t.Errorf("the background by night has a brightness of %.2f", l)
	}
	if paper := b.print("readiness", url+"/readiness"); !strings.HasPrefix(paper, "%PDF-") {
		t.Errorf("what is printed is no document: %.20q", paper)
	}
}

// check is one of the page.
var check = regexp.MustCompile(`(?s)<div class="check" id="(\w+)">\s*<p class="verdict \w+">(\w+)</p>`)

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
	t    *testing.T
	path string
	keep string // where pictures stay
}

func newBrowser(t *testing.T) *browser {
	b := &browser{t: t, path: pgtest.Program(t, "chromium"), keep: os.Getenv("KEEP")}
	if b.keep == "" {
		b.keep = t.TempDir()
	}
	return b
}

// run starts it for one look, and returns what it printed.
func (b *browser) run(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), browserTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir=" + b.t.TempDir(),
	}, args...)...)
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("chromium: %v\n%s", err, failure.String())
	}
	return string(out)
}

// dom is a page as the browser has understood it.
func (b *browser) dom(url string) string {
	b.t.Helper()
	return b.run(light, "--dump-dom", url)
}

// screenshot is a picture of a page, whole.
func (b *browser) screenshot(name, url, scheme string) image.Image {
	b.t.Helper()
	path := filepath.Join(b.keep, name+".png")
	b.run(scheme, fmt.Sprintf("--window-size=%d,%d", width, 4000), "--screenshot="+path, url)
	file, err := os.Open(path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		b.t.Fatalf("%s: %v", path, err)
	}
	return picture
}

// print is a page as it goes to paper.
func (b *browser) print(name, url string) string {
	b.t.Helper()
	path := filepath.Join(b.keep, name+".pdf")
	b.run(light, "--no-pdf-header-footer", "--print-to-pdf="+path, url)
	document, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(document)
}

// brightness of the background of a page, from 0 to 1: of its corner.
func brightness(picture image.Image) float64 {
	r, g, b, _ := picture.At(picture.Bounds().Min.X+2, picture.Bounds().Min.Y+2).RGBA()
	return float64(r+g+b) / (3 * 0xffff)
}
