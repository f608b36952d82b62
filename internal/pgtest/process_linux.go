package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const locale = "C.UTF-8"

// credential is the user that servers run as: ourselves, or nobody if we are root, as whom postgres refuses to run.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: 65534, Gid: 65534}
}

// lifelong makes the kernel end the server with us, however we end, and keeps a terminal's Ctrl-C from it.
func lifelong() *syscall.SysProcAttr { return lifelongUntil(syscall.SIGQUIT) }

// lifelongUntil is lifelong for a program that another signal ends well.
func lifelongUntil(sig syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: credential(), Setpgid: true, Pdeathsig: sig}
}

// tasks lists all processes.
func tasks() ([]task, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var list []task
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended since
		}
		if err != nil {
			return nil, err
		}
		var t task
		var state byte
		// pid (name) state ppid …: a name may hold anything, blanks and parentheses too.
		text := string(stat)
		_, err = fmt.Sscanf(text[strings.LastIndexByte(text, ')')+1:], " %c %d", &state, &t.parent)
		if err == nil {
			_, err = fmt.Sscan(text, &t.pid)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		t.still = strings.ContainsRune("TtZX", rune(state))
		list = append(list, t)
	}
	return list, nil
}
