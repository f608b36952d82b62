//go:build !linux

package program

import "syscall"

// lifelong keeps a terminal's Ctrl-C from the program.
func lifelong() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
