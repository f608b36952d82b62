package backup

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// The metrics that a file in text form may have. All but the last have the label
// type, and tell of the last backup of that type.
const (
	textStart   = "backup_last_start_timestamp_seconds"
	textStop    = "backup_last_stop_timestamp_seconds"
	textFailure = "backup_last_failure_timestamp_seconds"
	textRunning = "backup_running_since_timestamp_seconds"
	textSize    = "backup_last_database_bytes"
	textStored  = "backup_last_stored_bytes"
	textProven  = "restore_proven_timestamp_seconds"
)

// textFacts is what the text form tells of the backups of one type.
type textFacts struct {
	start, stop, failure, running time.Time
	size, stored                  float64
	line                          int // the last
}

// readText reads a file in the text format of Prometheus, as node_exporter's
// textfile collector takes it.
func (f *facts) readText() error {
	if err := f.checkSyntax(); err != nil {
		return err
	}
	// A line is a sample. Read one by one they keep their places, which the library's
	// families have lost.
	parser := expfmt.NewTextParser(model.LegacyValidation)
	types := map[Type]*textFacts{}
	seen := map[string]int{}
	line := 0
	for text := range bytes.Lines(f.data) {
		line++
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			return f.failf(line, "not the text format of Prometheus: write NAME{LABEL=\"VALUE\"} NUMBER")
		}
		for name, family := range families {
			for _, m := range family.GetMetric() {
				key, err := f.sample(types, line, name, m)
				if err != nil {
					return f.failf(line, "%s: %w", name, err)
				}
				if first := seen[key]; first != 0 {
					return f.failf(line, "%s: told already in line %d: remove one", name, first)
				}
				seen[key] = line
			}
		}
	}
	for _, t := range []Type{Full, Differential, Incremental} {
		if told := types[t]; told != nil {
			if err := f.textBackups(t, *told); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSyntax holds that the file is valid as a whole, and that no metric has a
// type other than gauge.
func (f *facts) checkSyntax() error {
	if len(bytes.TrimSpace(f.data)) == 0 {
		return f.failf(0, "the file is empty: %s", halfWritten)
	}
	line := 0
	for text := range bytes.Lines(f.data) {
		line++
		// Quoted names are valid for the parser, but not for every node_exporter.
		if bytes.HasPrefix(bytes.TrimLeft(text, " \t"), []byte("{")) {
			return f.failf(line, "a line begins with a brace: write NAME{LABEL=\"VALUE\"} NUMBER")
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(f.data))
	var fault expfmt.ParseError
	if errors.As(err, &fault) {
		why := fault.Msg
		if strings.ContainsAny(why, "\"'`") {
			// It quotes the file, which may be a wrong one with anything in it.
			why = "write NAME{LABEL=\"VALUE\"} NUMBER"
		}
		return f.failf(fault.Line, "not the text format of Prometheus: %s; %s", why, halfWritten)
	}
	if err != nil {
		return f.failf(0, "not the text format of Prometheus; %s", halfWritten)
	}
	for name, family := range families {
		if t := family.GetType(); t != dto.MetricType_GAUGE && t != dto.MetricType_UNTYPED {
			return f.failf(0, "%s: its TYPE is not gauge", name)
		}
	}
	return nil
}

// sample keeps a sample and returns what tells it from others.
func (f *facts) sample(types map[Type]*textFacts, line int, name string, m *dto.Metric) (string, error) {
	if !slices.Contains([]string{textStart, textStop, textFailure, textRunning, textSize, textStored, textProven}, name) {
		return "", errors.New("unknown metric: see docs/backups.md for those there are")
	}
	if m.TimestampMs != nil {
		return "", errors.New("a second number after the value: remove it")
	}
	value := m.GetUntyped().GetValue()
	t, err := f.textLabels(line, m.GetLabel())
	if err != nil {
		return "", err
	}
	if name == textProven {
		if t != "" {
			return "", errors.New("label type: remove it")
		}
		f.proven, err = unixTime(value)
		return name, wordTime(err)
	}
	switch t {
	case Full, Differential, Incremental:
	default:
		return "", errors.New("label type is not one of full, differential, incremental")
	}
	told := types[t]
	if told == nil {
		told = &textFacts{size: spec.Absent(), stored: spec.Absent()}
		types[t] = told
	}
	told.line = line
	return name + "/" + string(t), told.keep(name, value)
}

func (t *textFacts) keep(name string, value float64) (err error) {
	switch name {
	case textStart:
		t.start, err = unixTime(value)
	case textStop:
		t.stop, err = unixTime(value)
	case textFailure:
		t.failure, err = unixTime(value)
	case textRunning:
		t.running, err = unixTime(value)
	default:
		if !(value >= 0 && value < 1<<63) {
			return errors.New("value is no number of bytes")
		}
		if name == textSize {
			t.size = value
		} else {
			t.stored = value
		}
	}
	return wordTime(err)
}

func wordTime(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("value %w", err)
}

// textLabels reads the labels of a sample. Those that say whose file it is must be
// the same wherever they are given.
func (f *facts) textLabels(line int, labels []*dto.LabelPair) (t Type, err error) {
	for _, l := range labels {
		var into *string
		var check error
		value := l.GetValue()
		switch l.GetName() {
		case "type":
			t = Type(value)
			continue
		case "tool":
			into, check = &f.tool, CheckTool(value)
			f.toolLine = line
		case "stanza":
			into, check = &f.stanza, checkStanza(value)
			f.stanzaLine = line
		case "repository":
			into, check = &f.repository, checkWord("repository", value)
		default:
			return "", fmt.Errorf("unknown label %q: there are type, tool, stanza and repository", l.GetName())
		}
		if check != nil {
			return "", fmt.Errorf("label %w", check)
		}
		if *into != "" && *into != value {
			return "", fmt.Errorf("label %s is not as in the lines before: a file is of one", l.GetName())
		}
		*into = value
	}
	return t, nil
}

// textBackups makes backups of what is told of a type. The form has no labels; one
// that is not full is taken to rest on the last full one, if that is older.
func (f *facts) textBackups(t Type, told textFacts) error {
	f.hasBackups = true
	none := spec.Absent()
	if told.stop.IsZero() && (!told.start.IsZero() || !spec.IsAbsent(told.size) || !spec.IsAbsent(told.stored)) {
		return f.failf(told.line, "%s{type=%q} is not there: what is told of a last backup needs it", textStop, t)
	}
	if !told.stop.IsZero() {
		if told.stop.Before(told.start) {
			return f.failf(told.line, "%s{type=%q} is before its start", textStop, t)
		}
		b := Backup{
			Label: "last " + string(t), Type: t, State: Done, Start: told.start, Stop: told.stop,
			Database: told.size, Delta: none, Stored: told.stored, StoredDelta: none,
		}
		full := slices.IndexFunc(f.backups, func(o Backup) bool { return o.Type == Full && o.State == Done })
		if full >= 0 && f.backups[full].Stop.Before(told.stop) {
			b.Prior = f.backups[full].Label
		}
		f.backups = append(f.backups, b)
	}
	for _, b := range []Backup{
		{Label: "failed " + string(t), State: Failed, Stop: told.failure},
		{Label: "running " + string(t), State: Running, Start: told.running},
	} {
		if b.Start.IsZero() && b.Stop.IsZero() {
			continue
		}
		b.Type = t
		b.Database, b.Delta, b.Stored, b.StoredDelta = none, none, none, none
		f.backups = append(f.backups, b)
	}
	return nil
}
