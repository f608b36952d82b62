// Package tests holds the mixin against what must be true of every rule and
// board. It is a module of its own because it reads rules as Prometheus does,
// with Prometheus' code.
package tests

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-jsonnet"
)

// top is where the repository begins.
const top = "../.."

// evaluate runs a jsonnet text that stands in mixin/ and reads its result.
func evaluate(t *testing.T, snippet, config string, into any) {
	t.Helper()
	vm := jsonnet.MakeVM()
	vm.Importer(&jsonnet.FileImporter{JPaths: []string{".."}})
	vm.ExtCode("config", config)
	text, err := vm.EvaluateAnonymousSnippet("snippet", snippet)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// shipped is the mixin as it is in the repository, rendered once for all tests.
var shipped = sync.OnceValues(func() (map[string]string, error) { return renderFiles("{}") })

// render returns the texts of all rendered files, by path from the top. config is
// added to the mixin. The result is not to be changed.
func render(t *testing.T, config string) map[string]string {
	t.Helper()
	get := shipped
	if config != "{}" {
		get = func() (map[string]string, error) { return renderFiles(config) }
	}
	files, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func renderFiles(config string) (map[string]string, error) {
	vm := jsonnet.MakeVM()
	vm.ExtCode("config", config)
	vm.StringOutput = true
	return vm.EvaluateFileMulti("../rendered.jsonnet")
}

// write puts rendered files under a directory.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRendered holds that what is in the repository is what the sources give, and
// nothing else.
func TestRendered(t *testing.T) {
	files := render(t, "{}")
	for _, path := range slices.Sorted(maps.Keys(files)) {
		have, err := os.ReadFile(filepath.Join(top, path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			t.Errorf("%s is missing: make generate", path)
		case err != nil:
			t.Error(err)
		case string(have) != files[path]:
			t.Errorf("%s is not what the sources give: make generate", path)
		}
	}
	for _, dir := range []string{"alerts", "dashboards"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			rel := strings.TrimPrefix(filepath.ToSlash(path), top+"/")
			if _, ours := files[rel]; !ours {
				t.Errorf("%s comes from no source: make generate removes it", rel)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
