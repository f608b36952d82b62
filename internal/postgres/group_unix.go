//go:build unix

package postgres

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the command a process group of its own, killed whole when its
// context ends: a script's children must not outlive it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
