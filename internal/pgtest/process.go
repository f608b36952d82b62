package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// A process is one run of a postmaster.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read it after done
}

// A task is a process as the operating system lists it.
type task struct {
	pid, parent int
	still       bool // stopped by a signal, or dead
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Pdeathsig fires when the *thread* that started the child ends, so that thread waits for the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	return p, <-started
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// halt ends the process: fast shutdown, then immediate shutdown, then by force.
func (p *process) halt() error {
	if err := p.thaw(); err != nil {
		return err
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := p.signal(sig); err != nil {
			return err
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(haltTimeout):
		}
	}
	children, err := p.children()
	if err != nil {
		return err
	}
	err = p.signal(syscall.SIGKILL)
	for _, c := range children {
		err = errors.Join(err, kill(c.pid, syscall.SIGKILL))
	}
	<-p.done
	return err
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to postmaster: %w", sig, err)
	}
	return nil
}

// freeze stops the postmaster first, so that it forks no more, and then its children.
func (p *process) freeze() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	deadline := time.Now().Add(freezeTimeout)
	forkless := false // the postmaster was still before the processes were listed
	for p.running() {
		list, err := tasks()
		if err != nil {
			return err
		}
		moving, postmaster := 0, true
		for _, t := range list {
			if t.still {
				continue
			}
			if t.pid == p.pid() {
				postmaster = false
				moving++
			} else if t.parent == p.pid() {
				moving++
				if err := kill(t.pid, syscall.SIGSTOP); err != nil {
					return err
				}
			}
		}
		if moving == 0 && forkless {
			return nil
		}
		forkless = postmaster
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes go on after %v", moving, freezeTimeout)
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("server is not running")
}

func (p *process) thaw() error {
	children, err := p.children()
	if err != nil {
		return err
	}
	for _, c := range children {
		err = errors.Join(err, kill(c.pid, syscall.SIGCONT))
	}
	return errors.Join(err, p.signal(syscall.SIGCONT))
}

func (p *process) children() ([]task, error) {
	list, err := tasks()
	return slices.DeleteFunc(list, func(t task) bool { return t.parent != p.pid() }), err
}

// kill signals a process that may have ended.
func kill(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", sig, pid, err)
	}
	return nil
}
