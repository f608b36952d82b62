package readiness

import "time"

// day is how long a day is.
const day = 24 * time.Hour

// security are the checks of who may enter, how, and as what.
func security() []Check {
	return []Check{
		{
			Name: "tls_on", Factor: Security, Question: "Does the server accept TLS?",
			Why:    "Without it passwords of weak methods and all data cross the network in clear.",
			Remedy: "ALTER SYSTEM SET ssl = on; with ssl_cert_file and ssl_key_file in place, then SELECT pg_reload_conf()",
			Source: "setting ssl", From: []string{"tls"},
			Judge: func(f *Facts, _ Limits) Finding {
				switch on, ok := f.Value("pg_tls_enabled"); {
				case !ok:
					return unknown("ssl is not shown")
				case on == 1:
					return pass("TLS is on")
				}
				return fail("TLS is off")
			},
		},
		{
			Name: "tls_required", Factor: Security, Question: "Must remote clients use TLS?",
			Why:    "A rule of type host or hostnossl lets a client in that does not ask for TLS, and most do not insist on it.",
			Remedy: "make rules of type host in pg_hba.conf hostssl, then SELECT pg_reload_conf()",
			Source: "pg_hba_file_rules", From: []string{"hba", "hba_weak"},
			Judge: sound(func(f *Facts, _ Limits) Finding {
				n := 0.0
				for _, s := range f.All("pg_hba_rules", "address_class!=", "local", "auth_method!=", "reject") {
					if s.Labels["type"] == "host" || s.Labels["type"] == "hostnossl" || s.Labels["type"] == "hostnogssenc" {
						n += s.Value
					}
				}
				if n > 0 {
					return fail("%.0f rules of pg_hba.conf let remote clients in without TLS", n)
				}
				return pass("no rule of pg_hba.conf lets remote clients in without TLS")
			}),
		},
		{
			Name: "tls_protocol", Factor: Security, Question: "Are old versions of TLS refused?",
			Why:    "TLS 1.0 and 1.1 are broken, and all clients of today know 1.2.",
			Remedy: "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2'; SELECT pg_reload_conf()",
			Source: "setting ssl_min_protocol_version", From: []string{"settings_info"},
			Judge: func(f *Facts, _ Limits) Finding {
				least, ok := f.Word("ssl_min_protocol_version")
				switch {
				case !ok:
					return unknown("ssl_min_protocol_version is not shown")
				case least == "TLSv1.2" || least == "TLSv1.3":
					return pass("the oldest version is %s", least)
				}
				return fail("the oldest version is %q", least)
			},
		},
		{
			Name: "tls_certificate", Factor: Security, Question: "Is the certificate valid for long enough?",
			Why:    "When it expires all clients that verify it fail at once.",
			Remedy: "replace the file of ssl_cert_file, then SELECT pg_reload_conf()",
			Source: "handshake of pgvigil's own session", From: []string{"tls"},
			Judge: func(f *Facts, l Limits) Finding {
				end, ok := f.Min("pg_tls_certificate_not_after_timestamp_seconds")
				if !ok {
					return unknown("there is no TLS in pgvigil's own session: give it sslmode=require or stronger to see the certificate")
				}
				left := time.Unix(int64(end), 0).Sub(f.Now)
				switch {
				case left <= 0:
					return fail("it has expired")
				case left < days(l["certificate_days"]):
					return warn("it expires in %.0f days", left.Hours()/24)
				}
				return pass("it is valid for %.0f more days", left.Hours()/24)
			},
		},
		{
			Name: "tls_clients", Factor: Security, Question: "Do all remote sessions use TLS?",
			Why:    "What they send can be read on the way.",
			Remedy: "sslmode=require or verify-full in the clients' connection strings; see pg_stat_ssl for who comes without",
			Source: "pg_stat_get_activity", From: []string{"connections_tls"},
			Judge: func(f *Facts, _ Limits) Finding {
				clear, remote := 0.0, 0.0
				for _, s := range f.All("pg_connections_sessions") {
					if class := s.Labels["address_class"]; class == "private" || class == "public" {
						remote += s.Value
						if s.Labels["ssl"] == "false" {
							clear += s.Value
						}
					}
				}
				if hidden, _ := f.Sum("pg_connections_sessions", "address_class", ""); hidden > 0 {
					return unknown("the addresses of %.0f sessions are hidden: %s", hidden, monitorGrant)
				}
				if clear > 0 {
					return warn("%.0f of %.0f remote sessions are without TLS", clear, remote)
				}
				return pass("none of %.0f remote sessions is without TLS", remote)
			},
		},
		{
			Name: "listen_addresses", Factor: Security, Question: "Does the server listen only where it must?",
			Why:    "On all addresses it also listens on networks that are added later.",
			Remedy: "ALTER SYSTEM SET listen_addresses = 'the addresses that clients use'; and restart",
			Source: "setting listen_addresses", From: []string{"exposure"},
			Judge: func(f *Facts, _ Limits) Finding {
				switch all, ok := f.Value("pg_exposure_listens_everywhere"); {
				case !ok:
					return unknown("listen_addresses is not shown")
				case all == 1:
					return warn("it listens on all addresses of its machine")
				}
				return pass("it listens on addresses that are named")
			},
		},
		{
			Name: "hba_open", Factor: Security, Question: "Are rules of pg_hba.conf limited to networks?",
			Why:    "A rule for all addresses leaves a password as the only wall.",
			Remedy: "replace 0.0.0.0/0, ::/0 and all in pg_hba.conf by the networks of the clients, then SELECT pg_reload_conf()",
			Source: "pg_hba_file_rules", From: []string{"hba_weak"},
			Judge: sound(zero("pg_hba_all_addresses_rules", warn, "%.0f rules admit every address", "no rule admits every address")),
		},
		{
			Name: "hba_trust", Factor: Security, Question: "Must whoever connects prove who they are?",
			Why:    "By a rule of method trust anybody is any role, superusers too.",
			Remedy: "replace trust in pg_hba.conf by scram-sha-256, or peer on the Unix socket, then SELECT pg_reload_conf()",
			Source: "pg_hba_file_rules", From: []string{"hba_weak"},
			Judge: sound(func(f *Facts, _ Limits) Finding {
				remote, ok := f.Value("pg_hba_trust_remote_rules")
				local, _ := f.Value("pg_hba_trust_local_rules")
				switch {
				case !ok:
					return unknown("rules are not counted")
				case remote > 0:
					return fail("%.0f rules trust whoever comes over the network", remote)
				case local > 0:
					return warn("%.0f rules trust whoever is on the machine", local)
				}
				return pass("no rule trusts")
			}),
		},
		{
			Name: "hba_clear_password", Factor: Security, Question: "Do passwords stay off the network in clear?",
			Why:    "Methods such as password and ldap have the client send it as it is.",
			Remedy: "scram-sha-256 in pg_hba.conf, or hostssl for the rules of these methods, then SELECT pg_reload_conf()",
			Source: "pg_hba_file_rules", From: []string{"hba_weak"},
			Judge: sound(zero("pg_hba_clear_password_rules", fail, "%.0f rules let a password cross the network in clear", "no rule lets a password cross the network in clear")),
		},
		{
			Name: "hba_errors", Factor: Security, Question: "Can pg_hba.conf be read?",
			Why:    "With an error in it a reload changes nothing, and the server does not start again.",
			Remedy: "SELECT * FROM pg_hba_file_rules WHERE error IS NOT NULL; and mend these lines",
			Source: "pg_hba_file_rules", From: []string{"hba_weak"},
			Judge: zero("pg_hba_errors", fail, "%.0f lines have an error", "no line has an error"),
		},
		{
			Name: "networks", Factor: Security, Question: "Do all sessions come from where they should?",
			Why:    "A session from elsewhere is an intruder, or a way in that nobody knows of.",
			Remedy: "find them in pg_stat_activity (client_addr); close the way by pg_hba.conf and the firewall",
			Source: "pg_stat_activity", From: []string{"exposure_network", "connections_tls"},
			Judge: func(f *Facts, _ Limits) Finding {
				if len(f.Networks) == 0 {
					if public, _ := f.Sum("pg_connections_sessions", "address_class", "public"); public > 0 {
						return warn("%.0f sessions come from public addresses; readiness.networks says which are allowed", public)
					}
					return pass("no session comes from a public address")
				}
				switch o := f.origins(); {
				case o.outside > 0:
					return fail("%.0f sessions come from outside readiness.networks: %s", o.outside, some(o.strange))
				case len(o.split) > 0:
					return unknown("sessions are known to their /24 or /64, and readiness.networks has a part only of %s", some(o.split))
				case o.unclear > 0:
					return unknown("%.0f sessions come from more networks than are told apart", o.unclear)
				default:
					return pass("all of %.0f remote sessions come from readiness.networks", o.inside)
				}
			},
		},
		{
			Name: "superuser_sessions", Factor: Security, Question: "Do applications connect as other roles than superusers?",
			Why:    "A superuser passes all checks: one hole in an application is the whole server, its files too.",
			Remedy: "CREATE ROLE app LOGIN; GRANT it what the application needs, and let it connect as that",
			Source: "pg_stat_activity, pg_roles", From: []string{"exposure"},
			Judge: zero("pg_exposure_superuser_sessions", fail, "%.0f sessions are of superusers", "no session is of a superuser"),
		},
		{
			Name: "owner_sessions", Factor: Security, Question: "Do applications connect as other roles than the owner of their tables?",
			Why:    "An owner may alter and drop, no missing grant and no row security stops it.",
			Remedy: "REASSIGN OWNED BY app TO app_owner (a role NOLOGIN); GRANT SELECT, INSERT, UPDATE, DELETE to app",
			Source: "pg_stat_activity, pg_class", From: []string{"exposure_database"},
			Judge: zero("pg_exposure_owner_sessions", warn, "%.0f sessions are of roles that own tables in their database", "no session is of a role that owns tables"),
		},
		{
			Name: "superusers", Factor: Security, Question: "Is there no more than one superuser that can log in?",
			Why:    "Each is a password that opens everything.",
			Remedy: "ALTER ROLE name NOSUPERUSER; pg_monitor, pg_signal_backend, pg_checkpoint and their like do for most deeds",
			Source: "pg_roles", From: []string{"roles"},
			Judge: func(f *Facts, l Limits) Finding {
				n, ok := f.Value("pg_roles_superuser_login")
				switch {
				case !ok:
					return unknown("roles are not counted")
				case n > l["superusers"]:
					return warn("superusers that can log in: %.0f", n)
				}
				return pass("superusers that can log in: %.0f", n)
			},
		},
		{
			Name: "password_expiry", Factor: Security, Question: "Do passwords end?",
			Why:    "A password that has leaked and is valid for ever is a way in for ever.",
			Remedy: "ALTER ROLE name VALID UNTIL '2027-01-01'; or passwords that are made on demand; accept it where nobody logs in by password",
			Source: "pg_roles.rolvaliduntil", From: []string{"roles"},
			Judge: zero("pg_roles_without_valid_until_login", warn, "passwords of %.0f roles that can log in are valid for ever", "the passwords of all roles that can log in end"),
		},
		{
			Name: "password_kind", Factor: Security, Question: "Is no password kept as MD5?",
			Why:    "A stolen MD5 hash is enough to log in with, and PostgreSQL 18 has deprecated it.",
			Remedy: "ALTER SYSTEM SET password_encryption = 'scram-sha-256'; SELECT pg_reload_conf(); then set each password anew",
			Source: "pg_authid", From: []string{"roles_passwords"},
			Judge: func(f *Facts, _ Limits) Finding {
				switch n, ok := f.Value("pg_roles_passwords", "password_encryption", "md5"); {
				case !ok:
					return unknown("passwords are not counted")
				case n > 0:
					return fail("the passwords of %.0f roles are kept as MD5", n)
				}
				return pass("no password is kept as MD5")
			},
		},
		{
			Name: "password_encryption", Factor: Security, Question: "Are new passwords kept as SCRAM?",
			Why:    "With md5 each password that is set from now on is kept in the weak form.",
			Remedy: "ALTER SYSTEM SET password_encryption = 'scram-sha-256'; SELECT pg_reload_conf()",
			Source: "setting password_encryption", From: []string{"settings_info"},
			Judge: func(f *Facts, _ Limits) Finding {
				switch kind, ok := f.Word("password_encryption"); {
				case !ok:
					return unknown("password_encryption is not shown")
				case kind == "scram-sha-256":
					return pass("new passwords are kept as SCRAM")
				default:
					return fail("new passwords are kept as %s", kind)
				}
			},
		},
		{
			Name: "public_schema", Factor: Security, Question: "Is schema public closed to those who should not create there?",
			Why:    "Who may create in a schema on everybody's search_path can put an own function before the real one.",
			Remedy: "REVOKE CREATE ON SCHEMA public FROM PUBLIC; in each database",
			Source: "pg_namespace.nspacl", From: []string{"exposure_database"},
			Judge: zero("pg_exposure_public_create", fail, "in %.0f databases everybody may create objects in schema public", "in no database may everybody create objects in schema public"),
		},
		{
			Name: "read_only_role", Factor: Security, Question: "Is there a role for who only reads?",
			Why:    "Without one analysts use the application's role, and one DELETE without WHERE is a restore.",
			Remedy: "CREATE ROLE analyst LOGIN; GRANT pg_read_all_data TO analyst; ALTER ROLE analyst SET default_transaction_read_only = on",
			Source: "pg_roles, pg_db_role_setting", From: []string{"exposure"},
			Judge: func(f *Facts, _ Limits) Finding {
				n, ok := f.Value("pg_exposure_read_only_login")
				switch {
				case !ok:
					return unknown("roles that read only are not counted")
				case n == 0:
					return warn("no role that can log in is meant to read only")
				}
				return pass("%.0f roles that can log in are meant to read only", n)
			},
		},
		{
			Name: "connections_logged", Factor: Security, Question: "Is it kept who came?",
			Why:    "After an intrusion the log is the only way to know since when and from where.",
			Remedy: "ALTER SYSTEM SET log_connections = on; SELECT pg_reload_conf(); or pgaudit",
			Source: "settings log_connections, pgaudit.log", From: []string{"exposure", "settings_info"},
			Judge: func(f *Facts, _ Limits) Finding {
				audited, _ := f.Word("pgaudit.log")
				switch on, ok := f.Value("pg_exposure_log_connections"); {
				case !ok:
					return unknown("log_connections is not shown")
				case on == 1:
					return pass("connections are logged")
				case audited != "" && audited != "none":
					return pass("pgaudit logs %s", audited)
				}
				return warn("connections are not logged, and pgaudit logs nothing")
			},
		},
	}
}

// sound is a judge of the rules of pg_hba.conf: with an error in the file the server
// keeps the rules that it has, which nobody can see.
func sound(judge func(*Facts, Limits) Finding) func(*Facts, Limits) Finding {
	return func(f *Facts, l Limits) Finding {
		finding := judge(f, l)
		if errors, _ := f.Value("pg_hba_errors"); errors > 0 && finding.Verdict == Pass {
			return unknown("pg_hba.conf has %.0f lines with an error, so that the server may go by other rules than those of the file", errors)
		}
		return finding
	}
}

// zero is a judge that wants a number to be 0.
func zero(metric string, bad func(string, ...any) Finding, otherwise, good string) func(*Facts, Limits) Finding {
	return func(f *Facts, _ Limits) Finding {
		n, ok := f.Sum(metric)
		switch {
		case !ok:
			return unknown("%s is not there", metric)
		case n > 0:
			return bad(otherwise, n)
		}
		return pass("%s", good)
	}
}

func days(n float64) time.Duration { return time.Duration(n * float64(day)) }

func minutes(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }

func hours(n float64) time.Duration { return time.Duration(n * float64(time.Hour)) }
