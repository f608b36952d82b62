// Package catalog shows the declarations to people: the reference of metrics,
// the SQL for psql, and the table of contents of package collector.
package catalog
