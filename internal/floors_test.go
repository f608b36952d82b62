// Package internal_test holds what no single package can: the floors of the house,
// and what it is built of.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pgvigil/pgvigil/"

// floors lists what each package may import of this module. Imports run
// downwards only; a package that is not listed is a failure, so that whoever
// adds one says which floor it is on. Nil is any.
var floors = map[string][]string{
	"internal/spec":      {},
	"collector":          {"internal/spec"},
	"internal/page":      {"internal/spec"},
	"internal/postgres":  {"internal/spec"},
	"internal/catalog":   {"internal/spec"},
	"internal/scrape":    {"internal/spec", "internal/postgres", "internal/page"},
	"internal/backup":    {"internal/spec"},
	"internal/patroni":   {},
	"internal/readiness": {"internal/spec", "internal/page", "internal/patroni"},
	"internal/config":    {"internal/spec", "internal/postgres", "internal/backup", "internal/patroni", "internal/readiness", "internal/page"},
	"internal/pgbouncer": {"internal/spec", "internal/postgres"},
	"internal/explain":   {"internal/spec", "internal/postgres"},
	"internal/doctor":    {"internal/spec", "internal/postgres", "internal/scrape"},
	"internal/web":       {"internal/spec", "internal/postgres", "internal/pgbouncer", "internal/backup", "internal/page", "internal/scrape", "internal/explain", "internal/config", "internal/patroni", "internal/readiness", "internal/doctor"},
	"internal/pgtest":    {},
	"cmd/pgvigil": {
		"collector", "internal/spec", "internal/postgres", "internal/page", "internal/scrape", "internal/config",
		"internal/web", "internal/explain", "internal/catalog", "internal/readiness", "internal/doctor",
	},

	"internal/catalog/gen/all":     {"internal/catalog"},
	"internal/readiness/gen":       {"internal/readiness"},
	"internal/catalog/gen/metrics": {"collector", "internal/catalog", "internal/scrape", "internal/web"},
	"test/report":                  {"internal/spec"},
	"test/exporter":                {},
	"test/stage":                   {"internal/pgtest"},
	"test/demo":                    {"test/exporter", "test/stage"},
	"test/mixin":                   {"internal/pgtest", "test/exporter", "test/stage"},
	"test/program":                 {},
	"test/drill":                   {"internal/pgtest", "test/exporter", "test/program"},
	"test/bench":                   nil, // measures all of it
	"test/bloat":                   {"collector", "internal/spec", "internal/pgtest"},
	"test/readiness":               nil, // judges all of it
	"test/walk":                    {},
	"test/pages":                   {},
	"test/soak":                    {"collector", "internal/spec", "internal/pgtest", "test/exporter"},
}

// owners lists who may import a library. Others stay replaceable because few
// files know them.
var owners = map[string][]string{
	"github.com/jackc/pgx":                   {"internal/postgres", "internal/pgtest", "test/stage", "test/bench", "test/bloat", "test/soak", "test/drill"},
	"github.com/alecthomas/kingpin":          {"cmd/pgvigil"},
	"github.com/prometheus/client_golang":    {"internal/page", "internal/web", "cmd/pgvigil"},
	"github.com/prometheus/exporter-toolkit": {"internal/web", "cmd/pgvigil"},
	"github.com/prometheus/common/expfmt":    {"internal/backup", "internal/page", "internal/web", "test/bench"},
	"github.com/go-kit/log":                  {"internal/backup", "internal/scrape", "internal/web", "cmd/pgvigil"},
	"github.com/tjhop/slog-gokit":            {"internal/web"},
	"go.yaml.in/yaml":                        {"internal/config", "test/drill"},
}

// pure packages import the standard library and this module, nothing else.
var pure = []string{"internal/spec", "collector", "internal/catalog", "internal/catalog/gen/all", "internal/catalog/gen/metrics", "test/report"}

func TestFloors(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		allowed, listed := floors[from]
		if !listed {
			t.Errorf("%s is on no floor: say in floors what it may import", from)
		}
		for _, path := range p.Imports {
			if to, ours := strings.CutPrefix(path, module); ours {
				if allowed != nil && !slices.Contains(allowed, to) {
					t.Errorf("%s imports %s, which is not below it", from, to)
				}
			} else if strings.Contains(path, ".") && slices.Contains(pure, from) {
				t.Errorf("%s imports %s; it may import only the standard library and this module", from, path)
			}
			for library, who := range owners {
				if strings.HasPrefix(path+"/", library+"/") && !slices.Contains(who, from) {
					t.Errorf("%s imports %s, which only %s may", from, path, strings.Join(who, ", "))
				}
			}
		}
	}
}

// TestDependenciesAreExplained holds that CONTRIBUTING.md says of each required
// module what it is there for.
func TestDependenciesAreExplained(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(goList(t, "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all")) {
		last := path[strings.LastIndex(path, "/")+1:]
		if !strings.Contains(string(text), "`"+path+"`") && !strings.Contains(string(text), "`"+last+"`") {
			t.Errorf("CONTRIBUTING.md does not say what %s is there for", path)
		}
	}
}

// listed is what go list says of a package; the imports of its tests are not among them.
type listed struct {
	ImportPath string
	Imports    []string
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func packages(t *testing.T) []listed {
	t.Helper()
	out := goList(t, "-json=ImportPath,Imports", module+"...")
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath != strings.TrimSuffix(module, "/")+"/internal" { // only this test
			all = append(all, p)
		}
	}
}
