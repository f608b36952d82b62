package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const (
	// maxOutput is the most that is read of one command's answer. pgBackRest tells
	// of a backup in about 1 kB and lists a segment in 150 bytes: 64 MB are the
	// segments of some months of a busy server.
	maxOutput = 64 << 20
	// maxStderr and maxLines bound what is kept of standard error for the log.
	maxStderr = 4 << 10
	maxLines  = 5
	// leastSecret is the length from which on a value is kept out of the log: 1 and
	// yes are no secrets, and stand in many words.
	leastSecret = 4
	// closing is how long a command's pipes may stay open when it has ended, or
	// been killed, because some process outside its group still has them.
	closing = time.Second
	// patience is how long a killed command may take to go. One that waits for a
	// file server in the kernel, or runs as another user, does not go at all.
	patience = closing + time.Second
)

// runner runs the commands of one source, one at a time.
type runner struct {
	argv    []string
	environ []string
	hidden  []string // values that no log shows
	limit   int      // bytes of output

	said stderr          // by the commands since the last forget
	left <-chan struct{} // closed when the command that could not be killed is gone
}

// newRunner returns a runner of c's command. base is pgvigil's own environment.
func newRunner(c Config, base []string) *runner {
	argv := c.Command
	if len(argv) == 0 {
		argv = []string{c.Kind.reader().program}
	}
	r := &runner{argv: argv, environ: environment(base, c.Environment), limit: maxOutput}
	for _, variable := range c.Environment {
		if _, value, _ := strings.Cut(variable, "="); len(value) >= leastSecret {
			r.hidden = append(r.hidden, value)
		}
	}
	return r
}

// environment is base without what may hold a secret of pgvigil's own, and with
// the variables that the source configures.
func environment(base, configured []string) []string {
	var env []string
	for _, variable := range base {
		// libpq's variables and pgvigil's own flags begin with PG too.
		own := strings.HasPrefix(variable, "DATA_SOURCE_") ||
			strings.HasPrefix(variable, "PG") && !strings.HasPrefix(variable, "PGBACKREST_")
		if !own {
			env = append(env, variable)
		}
	}
	return append(env, configured...)
}

// ask runs the command with more arguments and reads its answer until ctx ends.
// Then the command is killed, with all that it started.
func (r *runner) ask(ctx context.Context, args ...string) (answer, error) {
	if r.stuck() {
		return answer{}, &LookError{ReasonTimeout, fmt.Errorf("%s still runs: it could not be killed when its time was over", r.argv[0])}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, r.argv[0], append(r.argv[1:len(r.argv):len(r.argv)], args...)...)
	ownGroup(cmd)
	cmd.Env = r.environ
	cmd.WaitDelay = closing
	out := &output{limit: r.limit, full: cancel}
	said := new(stderr)
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return answer{}, ended(ctx, r.argv[0])
		}
		return answer{}, &LookError{ReasonStart, fmt.Errorf("run %s: %w", r.argv[0], err)}
	}
	gone := make(chan struct{})
	var waited error
	go func() { // ends with the command, which ctx bounds; stuck looks after it else
		defer close(gone)
		waited = cmd.Wait()
		endGroup(cmd) // what it left behind when it ended by itself
	}()
	if !await(ctx, gone) {
		r.left = gone
		return answer{}, ended(ctx, r.argv[0])
	}
	r.said.add(said)
	if ctx.Err() != nil {
		return answer{}, ended(ctx, r.argv[0])
	}
	var exit *exec.ExitError
	if waited != nil && !errors.As(waited, &exit) && !errors.Is(waited, exec.ErrWaitDelay) {
		return answer{}, &LookError{ReasonExit, fmt.Errorf("run %s: %w", r.argv[0], waited)}
	}
	if status := cmd.ProcessState.ExitCode(); status >= 0 {
		return answer{out: out.kept.Bytes(), status: status}, nil
	}
	return answer{}, &LookError{ReasonExit, fmt.Errorf("%s: %v", r.argv[0], cmd.ProcessState)} // killed by somebody else
}

// await waits for the command, and some time more when ctx has ended.
func await(ctx context.Context, gone <-chan struct{}) bool {
	select {
	case <-gone:
		return true
	case <-ctx.Done():
	}
	select {
	case <-gone:
		return true
	case <-time.After(patience):
		return false
	}
}

// stuck reports whether a command that could not be killed is still there.
// Another beside it would only be the next to get stuck.
func (r *runner) stuck() bool {
	if r.left == nil {
		return false
	}
	select {
	case <-r.left:
		r.left = nil
		return false
	default:
		return true
	}
}

// ended says why a command was ended.
func ended(ctx context.Context, program string) error {
	cause := context.Cause(ctx)
	if look := new(LookError); errors.As(cause, &look) {
		return look
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return &LookError{ReasonTimeout, fmt.Errorf("%s was killed: not done in time", program)}
	}
	return fmt.Errorf("%s was killed: %w", program, cause)
}

// forget begins a look: what commands say is kept from here.
func (r *runner) forget() { r.said = stderr{} }

// lines are the last lines that commands have said on standard error, without
// what the source's environment holds.
func (r *runner) lines() string {
	text := string(r.said.kept)
	for _, secret := range r.hidden {
		for i := 1; r.said.cut && i < len(secret); i++ { // it may begin within a secret
			text = strings.TrimPrefix(text, secret[i:])
		}
		text = strings.ReplaceAll(text, secret, "****")
	}
	if r.said.cut { // as may the first line
		_, text, _ = strings.Cut(text, "\n")
	}
	lines := strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(c rune) bool { return c == '\n' || c == '\r' })
	return strings.Join(lines[max(0, len(lines)-maxLines):], "; ")
}

// output keeps what a command writes up to a limit. It does not embed the
// buffer, whose ReadFrom would know no limit.
type output struct {
	kept  bytes.Buffer
	limit int
	full  context.CancelCauseFunc
}

// Write takes p, or ends the command that writes too much.
func (o *output) Write(p []byte) (int, error) {
	if o.kept.Len()+len(p) > o.limit {
		err := &LookError{ReasonSize, fmt.Errorf("the answer has more than %d bytes", o.limit)}
		o.full(err)
		return 0, err
	}
	return o.kept.Write(p)
}

// stderr keeps the end of what is written to it.
type stderr struct {
	kept []byte
	cut  bool // what is kept begins within a line
}

// Write takes p.
func (s *stderr) Write(p []byte) (int, error) {
	s.kept = append(s.kept, p...)
	if over := len(s.kept) - maxStderr; over > 0 {
		s.kept, s.cut = append([]byte(nil), s.kept[over:]...), true
	}
	return len(p), nil
}

// add takes what another has kept.
func (s *stderr) add(other *stderr) {
	if other.cut {
		s.kept, s.cut = other.kept, true
		return
	}
	s.Write(other.kept)
}
