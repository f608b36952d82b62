package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// TLS reports whether the server speaks TLS, and until when the certificate is
// valid that it showed to pgvigil's own session. A session lasts for an hour at
// most, so a new certificate shows by then. Where a pooler or proxy ends the
// encryption, the certificate is its own. Without TLS in our session it is not
// known, and absent.
var TLS = spec.Collector{
	Name: "tls", About: "The server's certificate and what encrypts pgvigil's own session.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, Every: 5 * time.Minute, MaxSeries: 2, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT (pg_catalog.current_setting('ssl') = 'on')::int::double precision AS enabled`}},
	Metrics: []spec.Metric{
		{Name: "enabled", Type: spec.Gauge, Help: "Whether the server accepts TLS (setting ssl)."},
		{Name: "certificate_not_after_timestamp_seconds", Type: spec.Gauge, Help: "Unix time at which the server's certificate expires, absent where pgvigil's session has no TLS."},
	},
	Emit: func() spec.Emitter { return spec.EmitFunc(emitCertificate) },
}

func emitCertificate(run spec.Run, in *spec.Rows, out *spec.Sink) error {
	for row := range in.Len() {
		out.Row()
		out.Set("enabled", in.Value(row, "enabled"))
		if run.TLS != nil && !run.TLS.NotAfter.IsZero() {
			out.Set("certificate_not_after_timestamp_seconds", float64(run.TLS.NotAfter.Unix()))
		}
	}
	return nil
}

// TLSSession names the protocol and cipher of pgvigil's own session, as its
// handshake agreed on them: with what the server offers, and this client.
var TLSSession = spec.Collector{
	Name: "tls_session", Of: "tls", About: "Protocol and cipher of pgvigil's own session.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, Every: 5 * time.Minute, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT 1::double precision                                               AS session_info`}},
	Labels: []string{"sslversion", "sslcipher"},
	Metrics: []spec.Metric{
		{Name: "session_info", Type: spec.Gauge, Help: "Always 1; the labels tell what encrypts pgvigil's own session, absent where nothing does."},
	},
	Emit: func() spec.Emitter { return spec.EmitFunc(emitSession) },
}

func emitSession(run spec.Run, in *spec.Rows, out *spec.Sink) error {
	for row := range in.Len() {
		if run.TLS != nil {
			out.Row(run.TLS.Version, run.TLS.Cipher)
			out.Set("session_info", in.Value(row, "session_info"))
		}
	}
	return nil
}
