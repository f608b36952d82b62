package pgtest

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

const locale = "C" // C.UTF-8 is missing before macOS 15

// credential is nil: servers run as ourselves. initdb says so if that is root.
func credential() *syscall.Credential { return nil }

// lifelong can only leave the server in our process group, so that a terminal's Ctrl-C, a fast shutdown to the
// server, ends it with us: there is no Pdeathsig.
func lifelong() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func lifelongUntil(syscall.Signal) *syscall.SysProcAttr { return lifelong() }

// tasks lists all processes.
func tasks() ([]task, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("run ps: %w", err)
	}
	var list []task
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var t task
		var state string
		if _, err := fmt.Sscan(lines.Text(), &t.pid, &t.parent, &state); err != nil {
			return nil, fmt.Errorf("read ps line %q: %w", lines.Text(), err)
		}
		t.still = strings.ContainsRune("TZ", rune(state[0]))
		list = append(list, t)
	}
	return list, nil
}
