package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Names of the servers that a Barman knows: one that it backs up, and one of which it never had a backup.
const (
	BarmanServer = "main"
	BarmanIdle   = "idle"
)

// A Barman is Barman with a configuration and a home of its own, which archives and backs up one server.
type Barman struct {
	// Server is what it backs up.
	Server *Server

	dir, program string
	major        int
	receiver     *process // barman receive-wal
}

// NewBarman starts a server and a Barman that archives it: up to PostgreSQL 15 it streams WAL and runs pg_basebackup,
// Debian's newest of which is 15's; from 16 on it takes WAL from archive_command and copies files. All of it ends with
// the test.
func NewBarman(t testing.TB, major int) *Barman {
	t.Helper()
	b := &Barman{program: Program(t, "barman"), major: major}
	if b.streams() {
		Program(t, "pg_basebackup")
	}
	dir, err := os.MkdirTemp("", "pgtest-") // t.TempDir is closed to the user of the servers
	if err != nil {
		t.Fatal(err)
	}
	b.dir = dir
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"", "home", "home/main", "home/main/incoming"} {
		if err := makeDir(b.file(name)); err != nil {
			t.Fatal(err)
		}
	}
	settings := map[string]string{}
	if !b.streams() {
		incoming := b.file("home/main/incoming")
		settings["archive_command"] = fmt.Sprintf("cp %%p %s/.%%f && mv %[1]s/.%%f %[1]s/%%f", incoming)
	}
	b.Server = New(t, major, Options{Settings: settings})
	if err := writeFile(b.file("barman.conf"), b.conf()); err != nil {
		t.Fatal(err)
	}
	if b.streams() {
		b.StartReceiver(t)
	}
	b.SwitchWAL(t, 1) // Barman makes no backup before it has a segment
	return b
}

// streams says whether Debian's client programs know the server's version.
func (b *Barman) streams() bool { return b.major <= 15 }

func (b *Barman) conf() string {
	name := "nobody" // whom barman becomes when root runs it
	if os.Geteuid() != 0 {
		if me, err := user.Current(); err == nil {
			name = me.Username
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "[barman]\nbarman_user=%s\nbarman_home=%s\nbarman_lock_directory=%[2]s\n", name, b.file("home"))
	fmt.Fprintf(&text, "configuration_files_directory=%s\nlog_file=%s\n", b.file("conf.d"), b.file("home/barman.log"))
	text.WriteString("immediate_checkpoint=true\nminimum_redundancy=1\n") // a checkpoint takes minutes otherwise
	for _, server := range []string{BarmanServer, BarmanIdle} {
		conninfo := fmt.Sprintf("host=%s port=%d user=%s dbname=postgres", host, b.Server.port, Superuser)
		fmt.Fprintf(&text, "[%s]\ndescription=%[1]s\nconninfo=%s\nstreaming_conninfo=%[2]s\n", server, conninfo)
		if b.streams() {
			fmt.Fprintf(&text, "backup_method=postgres\nstreaming_archiver=on\nslot_name=barman_%s\npath_prefix=/usr/lib/postgresql/15/bin\n", server)
		} else {
			text.WriteString("backup_method=local-rsync\nreuse_backup=link\narchiver=on\n")
		}
	}
	return text.String()
}

func (b *Barman) file(name string) string { return filepath.Join(b.dir, name) }

// Command is Barman with its configuration, without a command of its own. It may be run as root.
func (b *Barman) Command() []string { return []string{b.program, "-c", b.file("barman.conf")} }

// Run runs a command of Barman and returns what it printed.
func (b *Barman) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := b.run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *Barman) run(ctx context.Context, args ...string) (string, error) {
	return runTool(ctx, append(b.Command(), args...)...)
}

// Backup makes a backup, of which also the WAL is there when it returns.
func (b *Barman) Backup(t testing.TB) {
	t.Helper()
	b.Run(t, "backup", "--wait", BarmanServer)
}

// StartBackup begins a backup that takes minutes, and returns what interrupts it, as Ctrl-C does, and waits for its
// end.
func (b *Barman) StartBackup(t testing.TB) (end func()) {
	t.Helper()
	// In kB a second, of which a new database has 20 thousand.
	cmd := command(t.Context(), append(b.Command(), "backup", "--bwlimit", "50", BarmanServer))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test failed before it interrupted the backup
			interrupt(t, cmd)
		}
	})
	return func() { interrupt(t, cmd) }
}

func interrupt(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("pgtest: a backup came to its end before it was interrupted")
	}
}

// StartReceiver makes the slot, unless it is there, and streams WAL until StopReceiver or the end of the test.
func (b *Barman) StartReceiver(t testing.TB) {
	t.Helper()
	if b.receiver == nil {
		b.Run(t, "receive-wal", "--create-slot", BarmanServer)
	}
	argv := append(b.Command(), "receive-wal", BarmanServer)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = environ()
	cmd.SysProcAttr = lifelong()
	receiver, err := startProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	b.receiver = receiver
	t.Cleanup(func() { b.StopReceiver(t) })
	b.await(t, "barman receive-wal to stream", func(ctx context.Context) (bool, error) {
		state, err := b.Server.query(ctx, "postgres",
			"SELECT state FROM pg_stat_replication WHERE application_name = 'barman_receive_wal'")
		return state == "streaming", err
	})
}

// StopReceiver ends the streaming of WAL.
func (b *Barman) StopReceiver(t testing.TB) {
	t.Helper()
	if !b.receiver.running() {
		return
	}
	if err := kill(-b.receiver.pid(), syscall.SIGTERM); err != nil { // pg_receivewal too
		t.Error(err)
	}
	select {
	case <-b.receiver.done:
	case <-time.After(haltTimeout):
		if err := kill(-b.receiver.pid(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		<-b.receiver.done
	}
}

// SwitchWAL ends so many segments, and returns their names when Barman has archived them.
func (b *Barman) SwitchWAL(t testing.TB, segments int) (names []string) {
	t.Helper()
	for range segments {
		names = append(names, b.Server.Query(t, "postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())"))
		b.Server.Exec(t, "SELECT pg_logical_emit_message(false, 'pgtest', '')", "SELECT pg_switch_wal()")
	}
	last := names[segments-1]
	b.await(t, "Barman to archive "+last, func(ctx context.Context) (bool, error) {
		if _, err := b.run(ctx, "archive-wal", BarmanServer); err != nil {
			return false, err
		}
		_, err := os.Stat(b.Segment(last))
		return err == nil, nil
	})
	return names
}

// Segment is the file of an archived segment.
func (b *Barman) Segment(name string) string {
	return b.file(filepath.Join("home", BarmanServer, "wals", name[:16], name))
}

func (b *Barman) await(t testing.TB, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolTimeout)
	defer cancel()
	for {
		ok, err := done(ctx)
		if ok {
			return
		}
		if cause := pause(ctx); err != nil || cause != nil {
			t.Fatalf("pgtest: wait for %s: %v", what, errors.Join(err, cause))
		}
	}
}
