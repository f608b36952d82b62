package config

import (
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pgvigil/pgvigil/internal/patroni"
)

// memberURL reads where Patroni's REST API is. The URL is in reports, so it may hold no
// secret, and no error repeats it.
func (d *decoder) memberURL(into *string) field {
	return func(key string, n *yaml.Node) {
		s, ok := d.scalar(key, n)
		if !ok {
			return
		}
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
			d.failf(n, "%s is not a URL of a host: write it like http://10.0.0.1:8008", key)
		case u.User != nil:
			d.failf(n, "%s has a user or password: remove them, since what is asked needs none", key)
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			d.failf(n, "%s is more than a host and port: write it like http://10.0.0.1:8008", key)
		default:
			*into = u.Scheme + "://" + u.Host
		}
	}
}

// certificates reads the name of a file of certificates that are trusted.
func (d *decoder) certificates(into *string) field {
	return func(key string, n *yaml.Node) {
		d.file(into)(key, n)
		if *into == "" {
			return
		}
		if _, err := patroni.NewClient(patroni.Config{CAFile: *into}); err != nil {
			d.failf(n, "%s: %w", key, err)
		}
	}
}

// checkPatroni checks that certificates are for something.
func (d *decoder) checkPatroni(w *written) {
	if n := w.has["patroni_ca"]; n != nil && !strings.HasPrefix(w.patroni.URL, "https://") {
		d.failf(n, "patroni_ca is for https: write patroni: https://…, or remove it")
	}
}
