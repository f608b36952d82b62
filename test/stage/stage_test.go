package stage

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestWorkloadOutlivesPrimary stops the primary as whoever tries an alert does, and
// starts it again: the workload goes on, and none of it counts as failed.
func TestWorkloadOutlivesPrimary(t *testing.T) {
	if _, err := pgtest.Find(); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	st, err := Start(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := syscall.Kill(st.PrimaryPID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * reconnect) // every session has noticed
	if err := st.primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for before, deadline := purchases(t, st), time.Now().Add(30*time.Second); purchases(t, st) == before; time.Sleep(reconnect) {
		if time.Now().After(deadline) {
			t.Error("nothing is bought any more")
			break
		}
	}
	select {
	case err := <-st.Failed():
		t.Error(err)
	default:
	}
}

// purchases is how many there have been, about.
func purchases(t *testing.T, st *Stage) (last int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), st.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT coalesce(max(id), 0) FROM purchase").Scan(&last); err != nil {
		t.Fatal(err)
	}
	return last
}
