package pgtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestOrphan kills a test binary, which then cannot stop its server: no server may outlive it, even a frozen one.
func TestOrphan(t *testing.T) {
	const role = "PGTEST_ORPHAN"
	if how := os.Getenv(role); how != "" {
		srv := New(t, 14, Options{Dir: os.Getenv("PGTEST_ORPHAN_DIR")})
		fmt.Println(srv.proc.pid())
		if how == "frozen" {
			if err := srv.Freeze(); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("ready")
		time.Sleep(time.Minute)
	}
	find(t, 14)
	for _, how := range []string{"running", "frozen"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "pgtest-orphan-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			cmd := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
			cmd.Env = append(os.Environ(), role+"="+how, "PGTEST_ORPHAN_DIR="+dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var orphan task
			var ready string
			if _, err := fmt.Fscan(bufio.NewReader(out), &orphan.pid, &ready); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait() // its error says that we killed it
			children, err := tasks()
			if err != nil {
				t.Fatal(err)
			}
			family := []task{orphan}
			for _, c := range children {
				if c.parent == orphan.pid {
					family = append(family, c)
				}
			}
			eventually(t, "end of the orphan's server", func() bool { return gone(family) })
		})
	}
}
