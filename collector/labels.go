package collector

// Labels returns the label vocabulary: every label a collector may use and what
// it holds. A label is PostgreSQL's own column name, one spelling each.
func Labels() map[string]string {
	return map[string]string{
		"application_name":  "application_name of pg_stat_activity or pg_stat_replication",
		"backend_type":      "backend_type of pg_stat_activity",
		"client_addr":       "address of the peer",
		"cluster_name":      "setting cluster_name",
		"datname":           "name of the database; empty for what belongs to none",
		"mode":              "lock mode as pg_locks writes it, in lower case",
		"relname":           "name of the table; other for the folded rest",
		"rolname":           "name of the role",
		"schemaname":        "name of the schema; other for the folded rest",
		"short_version":     "version in numbers, such as 16.4",
		"slot_name":         "name of the replication slot",
		"slot_type":         "physical or logical",
		"state":             "state of the session or standby",
		"system_identifier": "the cluster's identifier from initdb; clones share it",
		"usename":           "name of the user",
		"version":           "the server's version as it names itself",
		"wait_event_type":   "wait_event_type of pg_stat_activity; empty while not waiting",
	}
}
