package page

import (
	"io"
	"net/http"
	"testing"

	"github.com/prometheus/common/expfmt"
)

func TestNegotiate(t *testing.T) {
	const (
		proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
		// What Prometheus sends; it weighs its protocols by their place in the list.
		prometheus2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
			"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
		prometheus2Proto = proto + ";q=0.5,application/openmetrics-text;version=1.0.0;q=0.4," +
			"application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
		prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
			"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
			"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
		prometheus3Proto = proto + ";q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5," +
			"application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3," +
			"text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
		prometheus3Text = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"

		text            = expfmt.FmtText + "; escaping=underscores"
		openMetrics1    = expfmt.FmtOpenMetrics_1_0_0 + "; escaping=underscores"
		openMetrics0    = expfmt.FmtOpenMetrics_0_0_1 + "; escaping=underscores"
		openMetricsUTF8 = expfmt.FmtOpenMetrics_1_0_0 + "; escaping=allow-utf-8"
	)
	tests := map[string]struct {
		accept string
		want   expfmt.Format
	}{
		"no header":                    {"", text},
		"anything":                     {"*/*", text},
		"garbage":                      {";;q=,/;\x00,text", text},
		"browser":                      {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", text},
		"json":                         {"application/json", text},
		"plain":                        {"text/plain", text},
		"text 1.0.0 only":              {"text/plain;version=1.0.0;escaping=allow-utf-8", text},
		"OpenMetrics without version":  {"application/openmetrics-text", openMetrics0},
		"OpenMetrics 0.0.1":            {"application/openmetrics-text;version=0.0.1", openMetrics0},
		"OpenMetrics 2.0.0":            {"application/openmetrics-text;version=2.0.0", text},
		"Prometheus 2":                 {prometheus2, openMetrics1},
		"Prometheus 2 with protobuf":   {prometheus2Proto, openMetrics1},
		"Prometheus 3":                 {prometheus3, openMetricsUTF8},
		"Prometheus 3 with protobuf":   {prometheus3Proto, openMetricsUTF8},
		"Prometheus 3 wanting text":    {prometheus3Text, text},
		"protobuf only":                {proto, text},
		"protobuf as text":             {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", text},
		"protobuf before anything":     {proto + ";q=0.7,*/*;q=0.1", text},
		"protobuf before plain text":   {proto + ",text/plain;version=0.0.4;q=0.3", text},
		"an escaping scheme by choice": {"text/plain;version=0.0.4;escaping=dots", expfmt.FmtText + "; escaping=dots"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if test.accept != "" {
				header.Set("Accept", test.accept)
			}
			got := Negotiate(header)
			if got != test.want {
				t.Errorf("Negotiate(%q) = %q, want %q", test.accept, got, test.want)
			}
			if err := Write(io.Discard, got, nil, nil); err != nil {
				t.Errorf("Write in the negotiated format: %v", err)
			}
		})
	}
}
