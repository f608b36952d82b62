// Package walk does what docs/start.md says, block by block, so that it stays true.
package walk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

const (
	top      = "../.."
	document = "docs/start.md"
	patience = 15 * time.Minute // where it takes one and a half, on a machine of its own
	farewell = 30 * time.Second // for all that was started to end, if the walk did not
	ports    = 60               // from PORT on
)

// The two ways through the document, as their headings are called, and the alerts that
// come to Alertmanager on each.
var (
	ways   = []string{"On Prometheus", "On Thanos"}
	alerts = []string{"PostgresDeadMansSwitch", "PostgresDown"}
)

// TestWalk runs the blocks as a reader pastes them, with shorter durations and in other
// places, which the document has variables for.
func TestWalk(t *testing.T) {
	bin := programs(t)
	blocks := readBlocks(t)
	port := freePorts(t)
	dir := t.TempDir()
	script := filepath.Join(t.TempDir(), "walk.sh")
	if err := os.WriteFile(script, []byte(scriptOf(blocks)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script)
	cmd.Dir = top
	cmd.Env = append(environ(), "PATH="+bin+":"+os.Getenv("PATH"),
		"WALK="+dir, "PORT="+strconv.Itoa(port), "INTERVAL=2s", "TIME_SCALE=0.05")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // the script stops what it has started
	cmd.WaitDelay = farewell
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left, mostly nothing
	}
	if err != nil {
		t.Fatalf("%s cannot be followed: %v\n%s%s", document, cmp.Or(ctx.Err(), err), out, logs(dir))
	}
	said := outputs(t, string(out), blocks)
	for _, way := range ways {
		for _, alert := range alerts {
			came(t, blocks, said, way, alert)
		}
	}
	checkProvisioning(t, filepath.Join(dir, "grafana"), port)
	if !t.Failed() {
		fmt.Printf("summary: %s: %d blocks walked in %v, on Prometheus and on Thanos\n", document, len(blocks), time.Since(start).Round(time.Second))
	}
}

// programs returns a directory with all that a reader has in PATH. Without one of them
// the test is skipped, and in CI it fails.
func programs(t *testing.T) string {
	t.Helper()
	alertmanager, err := pgtest.FindProgram("alertmanager")
	if err != nil {
		alertmanager = pgtest.Program(t, "prometheus-alertmanager")
	}
	found := []string{alertmanager, pgtest.Program(t, "prometheus")}
	_, err = pgtest.Find()
	missing := []error{err}
	for _, name := range []string{"promtool", "amtool", "thanos", "jsonnet"} { // which make tools builds
		path, err := exec.LookPath(cmp.Or(os.Getenv(strings.ToUpper(name)), name))
		found, missing = append(found, path), append(missing, err)
	}
	for _, name := range []string{"bash", "make", "curl"} {
		_, err := exec.LookPath(name)
		missing = append(missing, err)
	}
	switch err := errors.Join(missing...); {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	bin := t.TempDir()
	for _, path := range found {
		if err := os.Symlink(path, filepath.Join(bin, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// environ is ours, without what a reader who begins has not set.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"DATA_SOURCE_NAME", "DEMO_SECONDS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}, name)
	})
}

// freePorts returns the first of so many ports on the loopback that nobody listens at.
// They are below those that a system gives to whoever asks for any.
func freePorts(t *testing.T) int {
	t.Helper()
	var err error
	for range 20 {
		first := 20000 + rand.IntN(10000)
		if err = listen(first); err == nil {
			return first
		}
	}
	t.Fatalf("find free ports: %v", err)
	return 0
}

func listen(first int) error {
	for port := first; port <= first+ports; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		defer l.Close()
	}
	return nil
}

// block is a piece of shell in the document.
type block struct {
	line int    // of its first line
	way  string // the heading it is under
	text string
}

// notWalked marks a block that cannot be run here.
const notWalked = "<!-- not walked: "

// readBlocks returns the document's blocks that are to be run: all but one, which
// starts Grafana.
func readBlocks(t *testing.T) (list []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, document))
	if err != nil {
		t.Fatal(err)
	}
	var b block
	inside, skip, skipped := false, false, 0
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case inside && line == "```":
			inside = false
			if skip {
				skipped++
			} else {
				list = append(list, b)
			}
			skip = false
		case inside:
			b.text += line + "\n"
		case strings.HasPrefix(line, "```"):
			if line != "```sh" {
				t.Errorf("%s:%d: this block is not shell, and nothing runs it", document, i+1)
			}
			inside, b = true, block{i + 2, b.way, ""}
		case strings.HasPrefix(line, "## "):
			b.way = line[len("## "):]
		case strings.HasPrefix(line, notWalked):
			skip = true
		}
	}
	if inside || skip || skipped != 1 {
		t.Errorf("%s: %d blocks are not run, and 1 is to be; or the last one has no end", document, skipped)
	}
	return list
}

// mark stands in the output before that of a block.
func (b block) mark() string { return fmt.Sprintf("#### %s:%d", document, b.line) }

// scriptOf runs the blocks until one fails. It stops what it has started, however it
// ends, but the document has to have done so.
func scriptOf(blocks []block) string {
	var script strings.Builder
	script.WriteString("trap 'kill $(jobs -p) 2>/dev/null || :; wait' EXIT\ntrap 'exit 1' TERM\nset -eu\n")
	for _, b := range blocks {
		fmt.Fprintf(&script, "echo '%s'\n%s", b.mark(), b.text)
	}
	script.WriteString("if [ -n \"$(jobs -rp)\" ]; then echo 'at the end these still run:'; jobs -l; exit 1; fi\n")
	return script.String()
}

// outputs are what each block has printed.
func outputs(t *testing.T, out string, blocks []block) []string {
	t.Helper()
	said := make([]string, len(blocks))
	for i, b := range blocks {
		_, rest, found := strings.Cut(out, b.mark()+"\n")
		if !found {
			t.Fatalf("%s was not reached:\n%s", b.mark(), out)
		}
		if i+1 < len(blocks) {
			rest, _, _ = strings.Cut(rest, blocks[i+1].mark()+"\n")
		}
		said[i] = rest
	}
	return said
}

// came holds that on one way one block waits for an alert, and that Alertmanager then
// has it once.
func came(t *testing.T, blocks []block, said []string, way, alert string) {
	t.Helper()
	awaited := 0
	for i, b := range blocks {
		if b.way != way || !strings.Contains(b.text, "await firing "+alert+"\n") {
			continue
		}
		awaited++
		times := 0
		for line := range strings.Lines(said[i]) {
			if strings.HasPrefix(line, alert+" ") && strings.Contains(line, "active") {
				times++
			}
		}
		if times != 1 {
			t.Errorf("%s: Alertmanager has %s %d times, want once:\n%s", b.mark(), alert, times, said[i])
		}
	}
	if awaited != 1 {
		t.Errorf("%s: %d blocks of %q wait for %s, want 1", document, awaited, way, alert)
	}
}

// checkProvisioning reads the files for Grafana, which cannot be had here, as far as
// its documentation says what is in them.
func checkProvisioning(t *testing.T, dir string, port int) {
	t.Helper()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, Access, URL string
			JSONData                struct {
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	readStrict(t, filepath.Join(dir, "datasources/pgvigil.yaml"), &sources)
	want := fmt.Sprintf("http://127.0.0.1:%d", port)
	if s := sources.Datasources; sources.APIVersion != 1 || len(s) != 1 || s[0].Type != "prometheus" || s[0].Access != "proxy" || s[0].URL != want {
		t.Errorf("the data source is %+v, want Prometheus at %s", sources, want)
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			Options            struct{ Path string }
		}
	}
	readStrict(t, filepath.Join(dir, "dashboards/pgvigil.yaml"), &boards)
	if p := boards.Providers; boards.APIVersion != 1 || len(p) != 1 || p[0].Name == "" || p[0].Type != "file" {
		t.Fatalf("the provider of boards is %+v", boards)
	}
	all, err := filepath.Glob(filepath.Join(top, "dashboards/*.json"))
	if err != nil || len(all) == 0 {
		t.Fatalf("there are no boards: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(boards.Providers[0].Options.Path, "pgvigil-*.json"))
	if err != nil || len(files) != len(all) {
		t.Errorf("the provider has %d boards, want %d: %v", len(files), len(all), err)
	}
}

// readStrict reads a file that may have only the keys of its target.
func readStrict(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

// logs are the ends of what the programs have said.
func logs(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is good
	var text strings.Builder
	for _, file := range files {
		said, err := os.ReadFile(file)
		if err != nil {
			continue // there is enough to read
		}
		lines := strings.SplitAfter(string(said), "\n")
		fmt.Fprintf(&text, "---- %s\n%s", filepath.Base(file), strings.Join(lines[max(0, len(lines)-20):], ""))
	}
	return text.String()
}
