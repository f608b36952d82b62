package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuTime is what the threads of a process have spent on a CPU. schedstat tells
// nanoseconds, exact while the threads sleep, where stat tells ticks of 10 ms. A
// process that has ended has spent nothing: see endedTime.
func cpuTime(pid int) (time.Duration, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		var running int64
		if _, err := fmt.Sscan(string(text), &running); err != nil {
			return 0, fmt.Errorf("read CPU time: %s: %w", path, err)
		}
		sum += time.Duration(running)
	}
	return sum, nil
}

// tick is the unit of times in /proc/PID/stat, the same on all of Go's platforms.
const tick = 10 * time.Millisecond

// Positions in /proc/PID/stat after the process's name.
const (
	statParent    = 1
	statChildUser = 13
	statChildSys  = 14
)

// stat reads numbers of /proc/PID/stat.
func stat(pid int, positions ...int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("read process: %w", err)
	}
	// pid (name) state ppid …: a name may hold blanks and parentheses.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	numbers := make([]int, len(positions))
	for i, at := range positions {
		if at >= len(fields) {
			return nil, fmt.Errorf("read process: /proc/%d/stat has %d fields", pid, len(fields))
		}
		if numbers[i], err = strconv.Atoi(fields[at]); err != nil {
			return nil, fmt.Errorf("read process: %w", err)
		}
	}
	return numbers, nil
}

// parent is the process that forked pid; of a backend, the postmaster.
func parent(pid int) (int, error) {
	n, err := stat(pid, statParent)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// endedTime is what all children of a process that have ended spent on a CPU.
func endedTime(pid int) (time.Duration, error) {
	n, err := stat(pid, statChildUser, statChildSys)
	if err != nil {
		return 0, err
	}
	return time.Duration(n[0]+n[1]) * tick, nil
}

// ownTime is what this process has spent on a CPU.
func ownTime() (time.Duration, error) {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0, fmt.Errorf("read own CPU time: %w", err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()), nil
}

// memory is the resident memory of a process in bytes, now and at its peak.
func memory(pid int) (now, peak int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		var kB int
		switch name {
		case "VmRSS", "VmHWM":
			if _, err := fmt.Sscanf(value, "%d kB", &kB); err != nil {
				return 0, 0, fmt.Errorf("read memory: %q: %w", line, err)
			}
		}
		switch name {
		case "VmRSS":
			now = kB << 10
		case "VmHWM":
			peak = kB << 10
		}
	}
	return now, peak, nil
}
