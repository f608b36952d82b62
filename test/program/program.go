// Package program runs programs beside what a test or drill is about, such as
// Prometheus: started, awaited, and ended by whoever started them.
package program

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 10 * time.Second
	poll         = 50 * time.Millisecond
	logTail      = 2000 // bytes of a log that an error shows
)

// Options say what to run.
type Options struct {
	// Name is what errors call it.
	Name string
	// Path and Args are the program and its arguments.
	Path string
	Args []string
	// Log is the file that takes what it prints, after what is there.
	Log string
	// Ready is a URL that answers 200 when the program works.
	Ready string
}

// A Program runs until Stop. Its methods may be called concurrently.
type Program struct {
	opt Options

	mu   sync.Mutex // held while it is started, signalled or ended
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read it after done
}

// Start runs a program and returns when it is ready. ctx bounds the start only.
func Start(ctx context.Context, opt Options) (*Program, error) {
	p := &Program{opt: opt}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Start runs it again after Stop or Kill.
func (p *Program) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.start(ctx); err != nil {
		return fmt.Errorf("start %s: %w; the end of its log:\n%s", p.opt.Name, err, tail(p.opt.Log))
	}
	return nil
}

func (p *Program) start(ctx context.Context) error {
	log, err := os.OpenFile(p.opt.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the program has its own
	p.cmd = exec.Command(p.opt.Path, p.opt.Args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = lifelong()
	if err := p.launch(); err != nil {
		return err
	}
	if err := p.awaitReady(ctx); err != nil {
		return errors.Join(err, p.end(syscall.SIGKILL))
	}
	return nil
}

// Stop ends the program, by force if it must. One that has ended by itself is an
// error, one that was stopped before is not.
func (p *Program) Stop() error { return p.halt(syscall.SIGTERM) }

// Kill ends the program as a crash would.
func (p *Program) Kill() error { return p.halt(syscall.SIGKILL) }

// Signal sends a signal: SIGSTOP stops the program in its tracks, SIGCONT undoes that.
func (p *Program) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("signal %s: it does not run", p.opt.Name)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.opt.Name, err)
	}
	return nil
}

func (p *Program) halt(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.done:
		p.cmd = nil
		return fmt.Errorf("%s ended by itself: %w; the end of its log:\n%s", p.opt.Name, p.err, tail(p.opt.Log))
	default:
	}
	err := p.end(sig)
	p.cmd = nil
	if err != nil {
		return fmt.Errorf("stop %s: %w", p.opt.Name, err)
	}
	return nil
}

// end signals the program and waits for it.
func (p *Program) end(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
	}
	err := p.cmd.Process.Kill()
	<-p.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (p *Program) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := answers(ctx, p.opt.Ready)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", p.opt.Ready, err)
		case <-time.After(poll):
		}
	}
}

func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func tail(file string) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-logTail):]
}

// launch starts the process in a thread that waits for it: the kernel ends it with the
// thread that started it.
func (p *Program) launch() error {
	done, started := make(chan struct{}), make(chan error, 1)
	cmd := p.cmd
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	p.done = done
	return <-started
}
