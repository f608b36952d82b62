package program

import "syscall"

// lifelong makes the kernel end the program with us, however we end, and keeps a
// terminal's Ctrl-C from it.
func lifelong() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
