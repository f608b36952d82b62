package doctor

import (
	"fmt"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// wayOut is what to do where there is no session.
func wayOut(reason postgres.Reason, step postgres.Step, fault string) string {
	switch reason {
	case postgres.ConnectRefused:
		return "Nothing listens there: start the server, or correct host and port. listen_addresses and port say where a server listens."
	case postgres.ConnectTimeout:
		switch step {
		case postgres.StepConnect:
			return "Nobody answers at that address: the host is down, or a firewall drops what is sent. --connect.timeout is how long is waited."
		case postgres.StepSetUp:
			return "The server let us in and then did not answer: it is overloaded, or it hangs."
		}
		return "Something listens there and does not answer: the server hangs, is stopped or overloaded, or it is no PostgreSQL."
	case postgres.ConnectAuth:
		switch {
		case step == postgres.StepSecrets:
			return "The file or command that gives the user or password must work for the user that pgvigil runs as."
		case strings.Contains(fault, "pg_hba.conf"):
			return "No line of pg_hba.conf lets this user in from here: add one, and reload the server. It may want TLS: see sslmode."
		case strings.Contains(fault, "does not exist"):
			return "Correct the user, or make it: CREATE ROLE pgvigil LOGIN; GRANT pg_monitor TO pgvigil."
		}
		return "Correct the user or the password; ALTER ROLE ... PASSWORD sets one. A role that may log in has LOGIN."
	case postgres.ConnectTLS:
		if strings.Contains(fault, "refused TLS") {
			return "The server has no TLS: switch ssl on there, or set sslmode=disable if the network may be trusted."
		}
		return "The certificate does not hold: sslrootcert names who may vouch for it, and the host must be the name that it is made out to."
	case postgres.ConnectTooMany:
		return "All connections are taken, or all that the role or database may have: see max_connections, and CONNECTION LIMIT. The exporter itself keeps its session once it has one."
	case postgres.ConnectStartingUp:
		return "The server starts, stops or recovers: wait. A standby that never gets past that may need hot_standby."
	case postgres.ConnectDNS:
		return "The host has no address here: correct its name, or the resolver of this machine."
	}
	if strings.Contains(fault, "3D000") {
		return "Name a database that is there: it is the last part of the connection string; postgres is nearly always there."
	}
	if strings.Contains(fault, "42501") {
		return "GRANT CONNECT ON DATABASE lets a role into a database."
	}
	return "The server's log says more."
}

// remedy is what to do about a collector that fails.
func remedy(c spec.Collector, reason postgres.Reason) string {
	off := fmt.Sprintf("--no-collector.%s switches it off.", c.Flag())
	switch reason {
	case postgres.ReasonTimeout:
		if c.Source == spec.PostgreSQL {
			return fmt.Sprintf("It has %s on the server, which is busy, or has much to be read. %s", c.Cost.Timeout, off)
		}
		return "It did not answer in time."
	case postgres.ReasonLockTimeout:
		return "What it reads was locked; the next run will tell."
	case postgres.ReasonPermission:
		return "Its role may not read what the error names; after a GRANT it is tried again within an hour. " + off
	case postgres.ReasonLimit:
		if c.Fold != nil {
			return fmt.Sprintf("Lower --collector.%s.limit, or raise --series.max.", c.Flag())
		}
		return "Raise --series.max, or find out why there are so many. " + off
	case postgres.ReasonConnection:
		return "The session could not be had or was lost; it is tried again within a minute."
	case postgres.ReasonConflict:
		return "Recovery cancelled it, as it may on a standby; hot_standby_feedback or max_standby_streaming_delay make that rare."
	case postgres.ReasonUndefined, postgres.ReasonMismatch, postgres.ReasonDuplicate:
		return "The server is not as this release expects: please report it with the error. " + off
	}
	return "The server's log may say more. " + off
}
