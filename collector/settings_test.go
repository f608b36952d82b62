package collector

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func TestSettingValue(t *testing.T) {
	for _, c := range []struct {
		setting, unit, vartype string
		want                   float64
		suffix                 string
	}{
		{"on", "", "bool", 1, ""},
		{"off", "", "bool", 0, ""},
		{"100", "", "integer", 100, ""},
		{"0600", "", "integer", 600, ""}, // log_file_mode: octal digits, as people read them
		{"0.9", "", "real", 0.9, ""},
		{"-2", "", "integer", -2, ""},
		{"16384", "8kB", "integer", 134217728, "_bytes"},
		{"3", "16kB", "integer", 49152, "_bytes"},
		{"3", "64kB", "integer", 196608, "_bytes"},
		{"65536", "kB", "integer", 67108864, "_bytes"},
		{"1024", "MB", "integer", 1073741824, "_bytes"},
		{"2", "16MB", "integer", 33554432, "_bytes"},
		{"2", "GB", "integer", 2147483648, "_bytes"},
		{"1", "TB", "integer", 1099511627776, "_bytes"},
		{"16777216", "B", "integer", 16777216, "_bytes"},
		{"100", "ms", "integer", 0.1, "_seconds"},
		{"2", "ms", "real", 0.002, "_seconds"},
		{"5", "10ms", "integer", 0.05, "_seconds"},
		{"3", "us", "integer", 0.000003, "_seconds"},
		{"300", "s", "integer", 300, "_seconds"},
		{"1440", "min", "integer", 86400, "_seconds"},
		{"2", "h", "integer", 7200, "_seconds"},
		{"2", "d", "integer", 172800, "_seconds"},
		{"-1", "ms", "integer", -1, "_seconds"},
		{"-1", "8kB", "integer", -1, "_bytes"},
		{"7", "furlong", "integer", 7, ""},
		{"7", "8furlong", "integer", 7, ""},
		{"7", "8", "integer", 7, ""},
		{"7", "kb", "integer", 7, ""}, // PostgreSQL writes kB
	} {
		got, suffix, ok := settingValue(c.setting, c.unit, c.vartype)
		if !ok || got != c.want || suffix != c.suffix {
			t.Errorf("settingValue(%q, %q, %q) = %v, %q, %v, want %v, %q", c.setting, c.unit, c.vartype, got, suffix, ok, c.want, c.suffix)
		}
	}
	for _, c := range [][3]string{{"", "", "integer"}, {"8kB", "", "integer"}, {"auto", "", "real"}, {"", "", "bool"}, {"maybe", "", "bool"}} {
		if got, _, ok := settingValue(c[0], c[1], c[2]); ok {
			t.Errorf("settingValue(%q) = %v, want no value", c, got)
		}
	}
}

// TestEmitSettings: names fit for a metric, none twice, none of another metric
// of the page, and what is left out is counted.
func TestEmitSettings(t *testing.T) {
	in := spec.NewRows([]spec.Column{
		{Name: "name", Kind: spec.Text}, {Name: "setting", Kind: spec.Text},
		{Name: "unit", Kind: spec.Text}, {Name: "vartype", Kind: spec.Text},
	})
	for _, row := range [][4]string{
		{"Auto-Explain.log_Min", "5", "ms", "integer"},
		{"a.b-c", "1", "", "integer"},
		{"a_b.c", "2", "", "integer"},       // would be the same metric
		{"settings.info", "on", "", "bool"}, // another name once the prefix is before it
		{"info", "3", "", "integer"},        // is the name of another metric
		{"odd", "word", "", "integer"},
		{"shared_buffers", "16384", "8kB", "integer"},
		{"ext.größe\n\"x\"", "4", "", "integer"},
	} {
		for _, cell := range row {
			in.AppendText([]byte(cell))
		}
		if err := in.EndRow(); err != nil {
			t.Fatal(err)
		}
	}
	sink := spec.NewSink(Settings)
	if err := Settings.Emit().Emit(spec.Run{}, in, sink); err != nil {
		t.Fatal(err)
	}
	out, named, err := sink.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name  string
		value float64
	}{
		{"pg_settings_auto_explain_log_min_seconds", 0.005},
		{"pg_settings_a_b_c", 1},
		{"pg_settings_settings_info", 1},
		{"pg_settings_shared_buffers_bytes", 134217728},
		{"pg_settings_ext_gr__e__x_", 4},
	}
	if len(named) != len(want) {
		t.Fatalf("%d settings, want %d: %v", len(named), len(want), named)
	}
	for i, w := range want {
		if got := Settings.FullName(named[i].Metric.Name); got != w.name || named[i].Value != w.value {
			t.Errorf("%s %v, want %s %v", got, named[i].Value, w.name, w.value)
		}
	}
	if got := out.Value(0, "not_shown"); got != 3 {
		t.Errorf("not_shown %v, want 3", got)
	}
}
