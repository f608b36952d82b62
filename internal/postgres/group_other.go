//go:build !unix

package postgres

import "os/exec"

// ownGroup leaves the command to the default: killed alone.
func ownGroup(*exec.Cmd) {}
