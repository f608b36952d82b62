package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

const (
	maxChecks    = 64 // Barman 3.4 makes some 30
	maxCheckName = 64 // bytes
	maxMessage   = 300
)

// lookBarman asks Barman for the backups of a server, what its check says, and
// of up to three backups the details: a command takes half a second, so not of all.
// They are the oldest that is complete and the newest of each type; only releases
// from 3.11 on have more than one.
func lookBarman(ctx context.Context, c Config, run ask) (Report, error) {
	b := barman{server: c.Stanza, run: run}
	listed, err := b.list(ctx)
	if err != nil {
		return Report{}, err
	}
	checks, err := b.check(ctx)
	if err != nil {
		return Report{}, err
	}
	repo := Repository{Status: StatusEmpty}
	for i, l := range listed {
		backup, err := l.backup(i == len(listed)-1)
		if err != nil {
			return Report{}, err
		}
		switch backup.State {
		case Running:
			repo.Running, repo.RunningSince = true, backup.Start
		case Done:
			repo.Status = StatusOK
		}
		repo.Backups = append(repo.Backups, backup)
	}
	details, err := b.detail(ctx, repo.Backups)
	if err != nil {
		return Report{}, err
	}
	repo.WAL = reach(details)
	size := c.SegmentSize
	for _, d := range details {
		size = cmp.Or(d.segmentSize(), size)
	}
	return Report{
		Tool: string(Barman), Stanza: c.Stanza, Checks: checks,
		Repositories: []Repository{repo}, SegmentSize: size,
	}, nil
}

// barman asks about one of Barman's servers.
type barman struct {
	server string
	run    ask
}

// reply asks a question and returns the part of the answer that is the server's.
// Barman answers in JSON also where it fails, and its check fails when it says
// that something is wrong.
func (b barman) reply(ctx context.Context, args ...string) (json.RawMessage, error) {
	all, status, err := b.ask(ctx, args...)
	if err != nil {
		return nil, err
	}
	own, ok := all[b.server]
	if ok && (status == 0 || args[0] == "check") {
		return own, nil
	}
	if said := complaint(all); said != "" || status != 0 {
		return nil, failed(args[0], status, said)
	}
	return nil, unclear("barman %s says nothing of server %q: is it set inactive in Barman's configuration?", args[0], b.server)
}

func (b barman) ask(ctx context.Context, args ...string) (map[string]json.RawMessage, int, error) {
	a, err := b.run(ctx, append([]string{"-f", "json"}, args...)...)
	if err != nil {
		return nil, 0, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(a.out, &all); err != nil {
		if a.status != 0 {
			return nil, 0, failed(args[0], a.status, "")
		}
		return nil, 0, unclear("understand the answer of barman %s: %w", args[0], err)
	}
	return all, a.status, nil
}

func failed(command string, status int, said string) error {
	if said != "" {
		said = ": " + said
	}
	return &LookError{ReasonExit, fmt.Errorf("barman %s ended with status %d%s", command, status, said)}
}

// complaint is what Barman says of an error.
func complaint(all map[string]json.RawMessage) string {
	var said []string
	for _, key := range []string{"_ERROR", "_EXCEPTION"} {
		var lines []string
		if json.Unmarshal(all[key], &lines) == nil {
			said = append(said, lines...)
		}
	}
	text := strings.Join(said, "; ")
	if len(text) > maxMessage {
		text = text[:maxMessage]
	}
	return strings.ToValidUTF8(text, "")
}

// barmanListed is a backup as list-backup has it. One that runs or has failed has
// only its name and status and, from 3.11 on, its type.
type barmanListed struct {
	ID      string `json:"backup_id"`
	Status  string `json:"status"`
	Type    string `json:"backup_type"`
	EndTime number `json:"end_time_timestamp"`
	Size    number `json:"size_bytes"` // with the WAL that it needs
}

// list returns the backups, oldest first.
func (b barman) list(ctx context.Context) ([]barmanListed, error) {
	// 2.x knows list-backup, and 3.x still does.
	own, err := b.reply(ctx, "list-backup", b.server)
	if err != nil {
		return nil, err
	}
	var listed []barmanListed
	if err := json.Unmarshal(own, &listed); err != nil {
		return nil, unclear("understand the answer of barman list-backup: %w", err)
	}
	slices.SortFunc(listed, func(a, b barmanListed) int { return cmp.Compare(a.ID, b.ID) })
	return listed, nil
}

// backup is what the list tells; newest says that none began after it.
func (l barmanListed) backup(newest bool) (Backup, error) {
	b := Backup{Label: l.ID, Type: Full, Database: spec.Absent(), Delta: spec.Absent(), Stored: spec.Absent(), StoredDelta: spec.Absent()}
	if l.Type == "incremental" { // else full, rsync, snapshot
		b.Type = Incremental
	}
	switch l.Status {
	case "DONE":
		b.State, b.Stop = Done, l.EndTime.moment()
		if b.Stop.IsZero() {
			return b, unclear("barman list-backup does not tell when backup %.40q ended", l.ID)
		}
		if b.Type == Full {
			b.Stored = l.Size.bytes()
		} else {
			b.StoredDelta = l.Size.bytes()
		}
	case "FAILED":
		b.State, b.Start = Failed, barmanStart(l.ID)
	case "STARTED":
		b.State, b.Start = Running, barmanStart(l.ID)
		// A server has one backup at a time. One whose Barman was killed stays
		// STARTED for ever; it is known for what it is when the next one begins.
		if !newest {
			b.State = Failed
		}
	case "SYNCING", "WAITING_FOR_WALS": // copied in part; nothing to restore from yet
		b.State, b.Start = Running, barmanStart(l.ID)
	default:
		return b, unclear("barman list-backup gives backup %.40q the status %.40q, which is not known", l.ID, l.Status)
	}
	return b, nil
}

// barmanStart reads when a backup began from its name, the local time of Barman's
// host, here taken for ours: nothing else tells it of one that is not complete.
func barmanStart(id string) time.Time {
	t, err := time.ParseInLocation("20060102T150405", id, time.Local)
	if err != nil {
		return time.Time{}
	}
	return t
}

// check returns what Barman's check says, by name.
func (b barman) check(ctx context.Context) ([]Check, error) {
	own, err := b.reply(ctx, "check", b.server)
	if err != nil {
		return nil, err
	}
	var results map[string]struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(own, &results); err != nil {
		return nil, unclear("understand the answer of barman check: %w", err)
	}
	if len(results) == 0 || len(results) > maxChecks {
		return nil, unclear("barman check answers with %d checks", len(results))
	}
	byName := make(map[string]bool)
	for name, result := range results {
		if result.Status != "OK" && result.Status != "FAILED" {
			return nil, unclear("barman check %.40q has the status %.40q, which is not known", name, result.Status)
		}
		name = checkName(name)
		good, seen := byName[name]
		byName[name] = result.Status == "OK" && (good || !seen)
	}
	checks := make([]Check, 0, len(byName))
	for name, ok := range byName {
		checks = append(checks, Check{name, ok})
	}
	slices.SortFunc(checks, func(a, b Check) int { return cmp.Compare(a.Name, b.Name) })
	return checks, nil
}

// checkName makes a check's name fit for a label.
func checkName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, name)
	return name[:min(len(name), maxCheckName)]
}
