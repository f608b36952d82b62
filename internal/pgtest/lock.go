package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// startsAtOnce bounds the servers that are being started at a time by all test binaries together: go test runs
// packages side by side, and more initial loads than cores only make each of them late.
const startsAtOnce = 2

// poll is how often we look again while waiting for something that cannot tell us.
const poll = 20 * time.Millisecond

// lockStart waits for its turn to start a server.
func lockStart(ctx context.Context, dir string) (unlock func(), err error) {
	var paths []string
	for i := range startsAtOnce {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("start%d.lock", i)))
	}
	return lockAny(ctx, paths...)
}

// lockAny waits until it has locked one of the files. The lock ends with the process at the latest.
func lockAny(ctx context.Context, paths ...string) (unlock func(), err error) {
	for {
		for _, path := range paths {
			f, err := tryLock(path)
			if err != nil {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			if f != nil {
				return func() { f.Close() }, nil
			}
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for lock %s: %w", paths[0], err)
		}
	}
}

// tryLock returns nil, without an error, when somebody else has the lock.
func tryLock(path string) (*os.File, error) {
	// Not for writing: another user's file will do.
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, err
}

// pause sleeps for one poll.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(poll):
		return nil
	}
}
