package collector

import (
	"strconv"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Settings reports how the server is configured. It shows the server's value
// where our own session has another: what we SET is read from reset_val, what
// comes from ALTER ROLE or ALTER DATABASE for our own login is left out, for then
// the server's value cannot be seen from here.
var Settings = spec.Collector{
	Name: "settings", About: "Settings of type bool, integer and real, in seconds and bytes.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: 5 * time.Minute, MaxSeries: 1500, Locks: "none"},
	// The tcp_ settings show what the kernel does with our own connection.
	Queries: []spec.Query{{SQL: `
SELECT s.name                                                              AS name
     , CASE WHEN s.source = 'session' OR pg_catalog.starts_with(s.name, 'tcp_')
            THEN s.reset_val
            ELSE s.setting END                                             AS setting
     , coalesce(s.unit, '')                                                AS unit
     , s.vartype                                                           AS vartype
  FROM pg_catalog.pg_settings s
 WHERE s.vartype IN ('bool', 'integer', 'real')
   AND s.name NOT IN ('transaction_deferrable', 'transaction_read_only')
   AND s.source <> 'client'
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_db_role_setting o
                 , pg_catalog.unnest(o.setconfig) c
        WHERE pg_catalog.lower(pg_catalog.split_part(c, '=', 1)) = pg_catalog.lower(s.name)
          AND (o.setrole <> 0 AND pg_catalog.pg_get_userbyid(o.setrole) = session_user
               OR o.setrole = 0 AND o.setdatabase <> 0)
          AND o.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d
                                     WHERE d.datname = pg_catalog.current_database())))
 ORDER BY s.name COLLATE "C"`}},
	Metrics: []spec.Metric{
		{Name: spec.Any, Type: spec.Gauge, Help: "Setting of the server."},
		{Name: "not_shown", Type: spec.Gauge, Help: "Settings left out because their value is no number or their metric's name is taken by another."},
	},
	Emit: func() spec.Emitter { return spec.EmitFunc(emitSettings) },
}

// emitSettings makes a metric of each setting. Of two that would have the same
// name the first wins.
func emitSettings(_ spec.Run, in *spec.Rows, out *spec.Sink) error {
	taken := map[string]bool{"fingerprint": true, "info": true, "not_shown": true, "pending_restart": true}
	notShown := 0
	for row := range in.Len() {
		name := in.Text(row, "name")
		alias := settingAlias(name)
		v, suffix, ok := settingValue(in.Text(row, "setting"), in.Text(row, "unit"), in.Text(row, "vartype"))
		alias += suffix
		if !ok || taken[alias] {
			notShown++
			continue
		}
		taken[alias] = true
		out.Named(spec.Metric{Name: alias, Type: spec.Gauge, Help: "Setting " + name + " of the server."}, v)
	}
	out.Row()
	out.Set("not_shown", float64(notShown))
	return nil
}

// settingAlias makes a setting's name fit to be a metric's.
func settingAlias(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// settingValue reads a setting in base units, with the suffix that names the
// unit. -1 means something of its own in any unit. A unit that is not known gives
// the value as it is.
func settingValue(setting, unit, vartype string) (v float64, suffix string, ok bool) {
	if vartype == "bool" {
		switch setting {
		case "on":
			return 1, "", true
		case "off":
			return 0, "", true
		}
		return 0, "", false
	}
	v, err := strconv.ParseFloat(setting, 64)
	if err != nil {
		return 0, "", false
	}
	factor, suffix := settingUnit(unit)
	if v == -1 || suffix == "" {
		return v, suffix, true
	}
	if factor < 0 {
		return v / -factor, suffix, true
	}
	return v * factor, suffix, true
}

// settingUnit reads a unit such as 8kB: what to multiply with, or, where it is
// negative, what to divide by, so that 100 ms is 0.1 and not a little more.
func settingUnit(unit string) (factor float64, suffix string) {
	base := strings.TrimLeft(unit, "0123456789")
	count := 1.0
	if digits := unit[:len(unit)-len(base)]; digits != "" {
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return 1, ""
		}
		count = n
	}
	switch base {
	case "B":
		return count, "_bytes"
	case "kB":
		return count * (1 << 10), "_bytes"
	case "MB":
		return count * (1 << 20), "_bytes"
	case "GB":
		return count * (1 << 30), "_bytes"
	case "TB":
		return count * (1 << 40), "_bytes"
	case "us":
		return -1e6 / count, "_seconds"
	case "ms":
		return -1e3 / count, "_seconds"
	case "s":
		return count, "_seconds"
	case "min":
		return count * 60, "_seconds"
	case "h":
		return count * 3600, "_seconds"
	case "d":
		return count * 86400, "_seconds"
	}
	return 1, ""
}

// SettingsState answers whether the configuration has changed, or has not yet
// come into force. The fingerprint covers what differs from PostgreSQL's defaults.
// It leaves out what a cluster manager changes with the server's role, and what
// ALTER ROLE or ALTER DATABASE sets for our own login. That none waits only a role can
// tell that may read all settings; to others some are hidden.
var SettingsState = spec.Collector{
	Name: "settings_state", Of: "settings", About: "Settings waiting for a restart, and a number that changes with any setting.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: 2 * time.Second, Every: 5 * time.Minute, MaxSeries: 2, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN bool_or(s.pending_restart) OR pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
            THEN count(*) FILTER (WHERE s.pending_restart) END::double precision
                                                                           AS pending_restart
     , (pg_catalog.hashtextextended(
           coalesce(pg_catalog.string_agg(s.name || '=' || s.value, pg_catalog.chr(10) ORDER BY s.name COLLATE "C")
                    FILTER (WHERE s.value IS DISTINCT FROM s.boot_val AND s.counted), ''), 0)
        & 9007199254740991)::double precision                              AS fingerprint
  FROM (SELECT p.name, p.boot_val, p.pending_restart
             , CASE WHEN p.source = 'session' OR pg_catalog.starts_with(p.name, 'tcp_')
                    THEN p.reset_val
                    ELSE p.setting END AS value
             , p.context <> 'internal'
               AND p.source <> 'client'
               AND NOT EXISTS (
                   SELECT FROM pg_catalog.pg_db_role_setting o
                             , pg_catalog.unnest(o.setconfig) c
                    WHERE pg_catalog.lower(pg_catalog.split_part(c, '=', 1)) = pg_catalog.lower(p.name)
                      AND (o.setrole <> 0 AND pg_catalog.pg_get_userbyid(o.setrole) = session_user
                           OR o.setrole = 0 AND o.setdatabase <> 0)
                      AND o.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d
                                                 WHERE d.datname = pg_catalog.current_database())))
               AND NOT pg_catalog.starts_with(p.name, 'transaction_')
               AND NOT pg_catalog.starts_with(p.name, 'recovery_')
               AND p.name NOT IN ('application_name', 'client_encoding', 'archive_cleanup_command', 'primary_conninfo'
                                , 'primary_slot_name', 'promote_trigger_file', 'restore_command'
                                , 'synchronized_standby_slots', 'synchronous_standby_names') AS counted
          FROM pg_catalog.pg_settings p) s`}},
	Metrics: []spec.Metric{
		{Name: "pending_restart", Type: spec.Gauge, Help: "Settings that have been changed in the configuration and wait for a restart, absent where the role sees none and may not read all."},
		{Name: "fingerprint", Type: spec.Gauge, Help: "Number that changes when a setting changes, other than those that follow the server's role."},
	},
}

// SettingsInfo shows the few enumerations that alerts and readiness depend on.
var SettingsInfo = spec.Collector{
	Name: "settings_info", Of: "settings", About: "Settings whose value is a word.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: 2 * time.Second, Every: 5 * time.Minute, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT s.name                                                              AS name
     , s.setting                                                           AS setting
     , 1::double precision                                                 AS info
  FROM pg_catalog.pg_settings s
 WHERE s.name IN ('archive_mode', 'compute_query_id', 'huge_pages', 'password_encryption', 'pgaudit.log'
                , 'ssl_min_protocol_version', 'synchronous_commit', 'track_functions', 'wal_level')
   AND s.source NOT IN ('client', 'database', 'user', 'database user')`}},
	Labels: []string{"name", "setting"},
	Metrics: []spec.Metric{
		{Name: "info", Type: spec.Gauge, Help: "Setting of the server whose value is a word; the value is 1."},
	},
}
