// Package patroni asks a member of a cluster what Patroni, which promotes a standby when
// the primary is lost, knows of that cluster: by its REST API, and of that only by GET
// /cluster and GET /patroni, which take no lock and change nothing.
//
// It knows the answers of Patroni 2.1 to 4.1.
package patroni

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Config is where a member is asked.
type Config struct {
	// URL is that of the REST API, http or https, without a path.
	URL string
	// CAFile has the certificates to trust instead of the machine's own; "" is none. It is
	// read again each time.
	CAFile string
}

// Timeout bounds all that is asked of a member at one time.
const Timeout = 2 * time.Second

// maxAnswer bounds one answer: a member of a cluster is told of in some 300 bytes.
const maxAnswer = 1 << 20

// Role is what a member is.
type Role string

// The roles, as a server knows them: the leader of a standby cluster is a standby too.
const (
	Primary Role = "primary"
	Standby Role = "standby"
)

// Cluster is what a member says.
type Cluster struct {
	// Role is that of the member that was asked; "" is one that we do not know.
	Role Role
	// Paused says that Patroni promotes nobody until it is resumed.
	Paused bool
	// Members are all of them, in Patroni's order.
	Members []Member
}

// Member is one server of the cluster.
type Member struct {
	// Name is what Patroni calls it.
	Name string
	// Leader says that it holds the leader key.
	Leader bool
	// Synchronous says that commits wait for it.
	Synchronous bool
	// Runs says that its server is up.
	Runs bool
	// NoFailover says that it is tagged never to be promoted.
	NoFailover bool
	// Lag is the WAL in bytes that it has yet to store; negative is not known.
	Lag float64
}

// Leader is the member that holds the leader key.
func (c Cluster) Leader() (Member, bool) {
	for _, m := range c.Members {
		if m.Leader {
			return m, true
		}
	}
	return Member{}, false
}

// Candidates are the members that Patroni would consider for promotion, whatever their
// lag. Where commits wait for some members it considers only those.
func (c Cluster) Candidates() []Member {
	var all, synchronous []Member
	for _, m := range c.Members {
		if m.Leader || !m.Runs || m.NoFailover {
			continue
		}
		all = append(all, m)
		if m.Synchronous {
			synchronous = append(synchronous, m)
		}
	}
	for _, m := range c.Members {
		if m.Synchronous {
			return synchronous
		}
	}
	return all
}

// NewClient returns what asks, for one or a few requests: it keeps no connection.
func NewClient(c Config) (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificates to trust: %w", err)
		}
		trusted := x509.NewCertPool()
		if !trusted.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the certificates to trust: %s has none in PEM", c.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: trusted}
	}
	return &http.Client{
		Transport: transport,
		// The member that was named is to answer, and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Look asks the member at a URL for its role and for its cluster.
func Look(ctx context.Context, client *http.Client, base string) (Cluster, error) {
	var own struct {
		Role string `json:"role"`
	}
	if err := get(ctx, client, base, "/patroni", &own); err != nil {
		return Cluster{}, err
	}
	if own.Role == "" {
		return Cluster{}, errors.New("the answer to /patroni has no role: is that Patroni's REST API?")
	}
	var told cluster
	if err := get(ctx, client, base, "/cluster", &told); err != nil {
		return Cluster{}, err
	}
	if told.Members == nil {
		return Cluster{}, errors.New("the answer to /cluster has no members: Patroni has them from 2.1 on")
	}
	c := Cluster{Role: roleOf(own.Role), Paused: told.Pause}
	for _, m := range told.Members {
		c.Members = append(c.Members, m.member())
	}
	return c, nil
}

// roleOf reads the role of the member itself: that of the primary is master up to 3.x,
// and primary from 4.0 on. There are others in passing, such as demoted.
func roleOf(word string) Role {
	switch word {
	case "master", "primary":
		return Primary
	case "replica", "standby_leader", "sync_standby", "quorum_standby":
		return Standby
	}
	return ""
}

// cluster is the answer to /cluster, as far as we read it.
type cluster struct {
	Members []member `json:"members"`
	Pause   bool     `json:"pause"`
}

type member struct {
	Name  string          `json:"name"`
	Role  string          `json:"role"`
	State string          `json:"state"`
	Lag   json.RawMessage `json:"lag"` // bytes, or the word unknown
	Tags  struct {
		NoFailover       json.RawMessage `json:"nofailover"`
		FailoverPriority json.RawMessage `json:"failover_priority"`
	} `json:"tags"`
}

func (m member) member() Member {
	return Member{
		Name:        m.Name,
		Leader:      m.Role == "leader" || m.Role == "standby_leader" || m.Role == "master" || m.Role == "primary",
		Synchronous: m.Role == "sync_standby" || m.Role == "quorum_standby",
		// Up to 3.0 a replica runs; since then it streams, or reads the archive.
		Runs:       m.State == "running" || m.State == "streaming" || m.State == "in archive recovery",
		NoFailover: m.noFailover(),
		Lag:        number(m.Lag, -1),
	}
}

// noFailover reads the two tags; nofailover wins where it is there. People write them,
// so they may be of any kind, and Patroni takes all for true that is not empty.
func (m member) noFailover() bool {
	switch string(m.Tags.NoFailover) {
	case "", "null":
		return number(m.Tags.FailoverPriority, 1) <= 0
	case "false", "0", `""`:
		return false
	}
	return true
}

// number reads a number, or a number between quotes; what is neither is otherwise.
func number(raw json.RawMessage, otherwise float64) float64 {
	var v float64
	if text := bytes.Trim(raw, `"`); len(text) == 0 || bytes.Equal(text, []byte("null")) || json.Unmarshal(text, &v) != nil || math.IsInf(v, 0) {
		return otherwise
	}
	return v
}

// get asks for one document.
func get(ctx context.Context, client *http.Client, base, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	res, err := client.Do(req)
	if err != nil {
		var wrapped *url.Error // repeats the URL, which whoever reads this knows
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	defer res.Body.Close() // nothing was written
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for %s: the answer has status %d", path, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer to %s: %w", path, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("the answer to %s is longer than %d bytes", path, maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer to %s: it is not as Patroni writes it: %w", path, err)
	}
	return nil
}
