package collector

// Labels returns the label vocabulary: every label a collector may use and what
// it holds. A label is PostgreSQL's own column name, one spelling each.
func Labels() map[string]string {
	return map[string]string{
		"address_class":       "local, private or public: the kind of client_addr, empty where it is hidden; of a rule also all, and name for a host name",
		"application_name":    "application_name of pg_stat_activity or pg_stat_replication",
		"auth_method":         "auth_method of pg_hba_file_rules",
		"backend_type":        "backend_type of pg_stat_activity",
		"client_addr":         "address of the peer",
		"cluster_name":        "setting cluster_name",
		"command":             "command of pg_stat_progress_create_index, pg_stat_progress_cluster or pg_stat_progress_copy; empty where it is hidden",
		"context":             "context of pg_stat_io: normal, vacuum, bulkread, bulkwrite or init",
		"database":            "of a pooler: the database as clients ask for it; in pgbouncer_databases, as it is called on the server",
		"datname":             "name of the database; empty for what belongs to none",
		"funcname":            "name of the function; other for the folded rest",
		"default_version":     "version of an extension that the server's files install, as in pg_available_extensions",
		"extname":             "name of the extension",
		"extversion":          "version of the extension installed in the database",
		"granted":             "whether a lock is held, else it is waited for",
		"indexrelname":        "name of the index; empty for the whole database",
		"holder":              "what holds back vacuum: client, autovacuum, background, walsender, standby_feedback, prepared_xact, replication_slot or replication_slot_catalog; empty where it is hidden",
		"invalidation_reason": "why the replication slot was invalidated; empty while it was not",
		"kind":                "what is wrong with an index: invalid, unused, duplicate or redundant",
		"method":              "how a number was come by: estimate; other for the folded rest",
		"mode":                "lock mode as pg_locks writes it, in lower case",
		"name":                "name of the setting, as in pg_settings, or of the cache, as in pg_stat_slru since 17; of a pooler: the database as clients ask for it",
		"query":               "text of the query, normalised, on one line",
		"queryid":             "queryid of pg_stat_statements; other for the folded rest",
		"network":             "network that a session comes from: the /24 or /64 of its address; other for the rest",
		"object":              "object of pg_stat_io: relation, temp relation or wal",
		"phase":               "phase of a command that reports its progress; empty where it is hidden",
		"relname":             "name of the table; other for the folded rest; empty where it cannot be known",
		"password_encryption": "how a role's password is kept: scram-sha-256, md5, none or other",
		"rolname":             "name of the role",
		"schemaname":          "name of the schema; other for the folded rest; empty where it cannot be known",
		"sender_host":         "host of the upstream server as pg_stat_wal_receiver has it",
		"sender_port":         "port of the upstream server",
		"sequencename":        "name of the sequence; empty for the whole database",
		"setting":             "value of the setting, as in pg_settings",
		"short_version":       "version in numbers, such as 16.4",
		"situation":           "why a standby's lag is what it is: caught_up, replaying, paused, cut or archive_only",
		"slot_name":           "name of the replication slot",
		"slot_type":           "physical or logical",
		"spcname":             "name of the tablespace",
		"ssl":                 "whether the session is encrypted, as in pg_stat_ssl; empty where it is hidden",
		"sslcipher":           "cipher suite of pgvigil's own session, by IANA's name",
		"sslversion":          "TLS protocol of pgvigil's own session, as in pg_stat_ssl",
		"state":               "state of the session, standby or subscribed table",
		"subname":             "name of the subscription",
		"sync_state":          "sync_state of pg_stat_replication",
		"system_identifier":   "the cluster's identifier from initdb; clones share it",
		"type":                "type of pg_stat_progress_copy: FILE, PROGRAM, PIPE or CALLBACK; empty where it is hidden; of a backup full, differential or incremental",
		"usename":             "name of the user",
		"user":                "of a pooler: the user that its servers see",
		"version":             "the server's or pooler's version as it names itself",
		"check":               "name of a check of a backup tool on itself",
		"reason":              "why a look at a backup tool failed: timeout, start, exit, size, format or repository",
		"repo":                "repository of backups: pgBackRest's key, WAL-G's storage; empty where the tool has one only",
		"stanza":              "what is backed up: pgBackRest's stanza, Barman's server, or the name of the source",
		"status":              "status of a repository of backups: ok, missing, no_backup or error",
		"timeline":            "timeline of archived WAL",
		"tool":                "backup tool: pgbackrest, barman, wal-g, or what a file names",
		"wait_event_type":     "wait_event_type of pg_stat_activity; empty while not waiting",
		"wal_status":          "wal_status of pg_replication_slots; empty where the slot never reserved WAL",
	}
}

// KeptNames lists the metrics whose names promlint dislikes and that are kept
// all the same: because everybody's dashboards stand on them, or because they
// are PostgreSQL's own names of settings.
func KeptNames() []string {
	return []string{
		"pg_locks_count",
		"pg_settings_tcp_keepalives_count",
		"pg_settings_wal_summary_keep_time_seconds",
		"pg_stat_activity_count",
	}
}
