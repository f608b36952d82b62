//go:build unix

package backup

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the command a process group of its own, killed whole when its
// context ends: what a tool has started must not outlive it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// endGroup kills what is left of the group of a command that has ended. Its error
// is that nothing is.
func endGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
