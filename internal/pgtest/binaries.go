package pgtest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

//go:embed npm/package-lock.json
var packageLock string

// Majors lists the majors of PostgreSQL that pgvigil supports, oldest first.
func Majors() []int { return []int{13, 14, 15, 16, 17, 18} }

// Binaries are installed servers. Get them from Find.
type Binaries struct {
	dir      string         // what install.sh printed
	prefixes map[int]string // by major: the directory of bin, lib and share
}

// Find looks for the servers that install.sh installed: in the directory that PGVIGIL_POSTGRES names, else where
// install.sh puts them by default. A platform may lack some majors; none at all is an error.
func Find() (Binaries, error) {
	dir := os.Getenv("PGVIGIL_POSTGRES")
	if dir == "" {
		cache, err := cacheDir()
		if err != nil {
			return Binaries{}, fmt.Errorf("pgtest: find servers: %w", err)
		}
		sum := sha256.Sum256([]byte(packageLock))
		dir = filepath.Join(cache, "postgres-"+hex.EncodeToString(sum[:8]))
	}
	bin := Binaries{dir: dir, prefixes: make(map[int]string)}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	for _, major := range Majors() {
		prefix := filepath.Join(dir, "node_modules", fmt.Sprintf("pg%d-%s-%s", major, runtime.GOOS, arch), "native")
		if _, err := os.Stat(filepath.Join(prefix, "bin", "postgres")); err == nil {
			bin.prefixes[major] = prefix
		}
	}
	if len(bin.prefixes) == 0 {
		return Binaries{}, fmt.Errorf("pgtest: find servers: none in %s: run internal/pgtest/install.sh", dir)
	}
	return bin, nil
}

// Majors lists the majors that are installed, oldest first.
func (b Binaries) Majors() []int { return slices.Sorted(maps.Keys(b.prefixes)) }

func (b Binaries) program(major int, name string) (string, error) {
	prefix, ok := b.prefixes[major]
	if !ok {
		return "", fmt.Errorf("PostgreSQL %d is not installed in %s", major, b.dir)
	}
	return filepath.Join(prefix, "bin", name), nil
}

// workDir is where templates and locks are kept: beside the binaries, or in the user's own cache if somebody else
// installed them.
func (b Binaries) workDir() (string, error) {
	dir := filepath.Join(b.dir, "templates")
	err := makeDir(dir)
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
		return dir, err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "templates")
	return dir, makeDir(dir)
}

// cacheDir is install.sh's: change both.
func cacheDir() (string, error) {
	if dir := os.Getenv("PGVIGIL_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/pgvigil", nil // root's home is closed to the user the servers run as
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "pgvigil"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("choose a cache directory: %w", err)
	}
	return filepath.Join(home, ".cache", "pgvigil"), nil
}
