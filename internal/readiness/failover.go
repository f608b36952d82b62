package readiness

import (
	"fmt"

	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// judgeFailoverManager goes by what Patroni says where somebody has said where to ask
// it, and else by who is connected: that shows a failover manager, and not that it could
// do its work.
func judgeFailoverManager(f *Facts, l Limits) Finding {
	if f.Patroni != nil {
		return judgePatroni(f, l)
	}
	if why := f.lacks("exposure"); why != "" {
		return unknown("%s", why)
	}
	n, ok := f.Value("pg_exposure_failover_manager_sessions")
	switch {
	case !ok:
		return unknown("sessions of a failover manager are not counted")
	case n > 0:
		return pass("a failover manager is connected")
	}
	return warn("no session is of Patroni, repmgr or pg_auto_failover")
}

// judgePatroni judges what Patroni says.
func judgePatroni(f *Facts, l Limits) Finding {
	a := f.Patroni
	switch {
	case a.At.IsZero():
		return unknown("Patroni has not been asked yet, or not in time")
	case a.Err != nil:
		return fail("Patroni does not answer as it should: %s", a.Err)
	case f.Role == spec.AnyRole:
		return unknown("whether Patroni speaks of this server cannot be told: its role is not known")
	case a.Cluster.Role == "":
		return unknown("the member that answered is neither primary nor standby now")
	case (a.Cluster.Role == patroni.Primary) != (f.Role == spec.Primary):
		return unknown("the member that answered is a %s by Patroni, and this server is not: the key patroni names another server, or the role changes now", a.Cluster.Role)
	}
	leader, ok := a.Cluster.Leader()
	switch {
	case !ok:
		return fail("the cluster has no leader by Patroni")
	case a.Cluster.Paused:
		return warn("Patroni is paused: it promotes nobody")
	}
	fit, unclear, late := 0, 0, 0
	candidates := a.Cluster.Candidates()
	for _, m := range candidates {
		switch {
		case m.Lag < 0:
			unclear++
		case m.Lag > l["lag_mib"]*(1<<20):
			late++
		default:
			fit++
		}
	}
	switch {
	case fit > 0:
		return pass("%s leads by Patroni, and %d of %d other members could be promoted", shown(leader.Name), fit, len(a.Cluster.Members)-1)
	case unclear > 0:
		return unknown("%s leads by Patroni, which does not know the lag of the members that could be promoted", shown(leader.Name))
	case late > 0:
		return warn("no member could be promoted: of %d each has more than %.0f MiB of WAL yet to store", late, l["lag_mib"])
	}
	return warn("no member could be promoted: of %d others none that may be is running", len(a.Cluster.Members)-1)
}

// shown is a name that another program has given, for a line.
func shown(name string) string { return fmt.Sprintf("%.64q", name) }
