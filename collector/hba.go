package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Hba reports the rules of pg_hba.conf by whom they let in from where and how.
// It reads the file as it is now, which may not have been loaded yet. A mask of
// zero bits admits all addresses, whatever stands before it. Lines that cannot be
// read are left out, and rules that match nothing because TLS is off.
var Hba = spec.Collector{
	Name: "hba", About: "Rules of pg_hba.conf by connection type, address and method.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{
		Execute: []string{"pg_catalog.pg_hba_file_rules()"},
		Grant:   "GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: 15 * time.Minute, MaxSeries: 500, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT h.type                               AS type
     , CASE WHEN h.type = 'local' THEN 'local'
            WHEN h.address = 'all' THEN 'all'
            WHEN h.address = 'samehost' THEN 'local'
            WHEN h.address = 'samenet' THEN 'private'
            WHEN h.network IS NULL THEN 'name'
            WHEN h.mask IN ('0.0.0.0', '::') THEN 'all'
            WHEN h.network <<= '127.0.0.0/8' AND h.mask >= '255.0.0.0'
              OR h.network = '::1' AND h.mask = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' THEN 'local'
            WHEN h.network <<= '10.0.0.0/8' AND h.mask >= '255.0.0.0'
              OR h.network <<= '172.16.0.0/12' AND h.mask >= '255.240.0.0'
              OR h.network <<= '192.168.0.0/16' AND h.mask >= '255.255.0.0'
              OR h.network <<= '169.254.0.0/16' AND h.mask >= '255.255.0.0'
              OR h.network <<= '100.64.0.0/10' AND h.mask >= '255.192.0.0'
              OR h.network <<= 'fc00::/7' AND h.mask >= 'fe00::'
              OR h.network <<= 'fe80::/10' AND h.mask >= 'ffc0::' THEN 'private'
            ELSE 'public' END               AS address_class
     , h.auth_method                        AS auth_method
     , pg_catalog.count(*)::double precision AS rules
  FROM (SELECT r.type
             , r.address
             , r.auth_method
             , CASE WHEN r.netmask IS NOT NULL THEN r.address::inet END AS network
             , r.netmask::inet                                          AS mask
          FROM pg_catalog.pg_hba_file_rules() AS r
         WHERE r.error IS NULL) AS h
 GROUP BY 1, 2, 3`}},
	Labels: []string{"type", "address_class", "auth_method"},
	Metrics: []spec.Metric{
		{Name: "rules", Type: spec.Gauge, Help: "Rules of pg_hba.conf, those that reject among them."},
	},
}

// HbaWeak answers whether pg_hba.conf lets in who should not be. A password is in
// clear on the wire where the method asks for it as it is (password, and those
// that pass it on to ldap, pam, radius or bsd) and the rule's type does not demand
// encryption. The Unix socket and the loopback interface are no wire. A rule for
// TLS where that is off has an error in the view, yet the server only warns of it.
var HbaWeak = spec.Collector{
	Name: "hba_weak", Of: "hba", About: "Rules of pg_hba.conf that trust, admit every address or pass passwords in clear, and errors.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Execute: []string{"pg_catalog.pg_hba_file_rules()"},
		Grant:   "GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: 15 * time.Minute, MaxSeries: 6, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH rule AS (
SELECT r.type
     , r.auth_method
     , r.error IS NULL                                                              AS good
     , r.type = 'local'
       OR coalesce(r.address = 'samehost', false)
       OR coalesce(r.address LIKE '127.%' AND r.netmask::inet >= '255.0.0.0', false)
       OR coalesce(r.address = '::1' AND r.netmask = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', false)
                                                                                    AS here
     , coalesce(r.address = 'all' OR r.netmask IN ('0.0.0.0', '::'), false)         AS everywhere
     , r.auth_method IN ('password', 'ldap', 'pam', 'radius', 'bsd')
       AND r.type NOT IN ('hostssl', 'hostgssenc')                                  AS clear
  FROM pg_catalog.pg_hba_file_rules() AS r
)
SELECT pg_catalog.count(*) FILTER (WHERE NOT good AND auth_method IS NULL)::double precision
                                                                                    AS errors
     , pg_catalog.count(*) FILTER (WHERE good AND auth_method = 'trust' AND here)::double precision
                                                                                    AS trust_local_rules
     , pg_catalog.count(*) FILTER (WHERE good AND auth_method = 'trust' AND NOT here)::double precision
                                                                                    AS trust_remote_rules
     , pg_catalog.count(*) FILTER (WHERE good AND auth_method = 'trust' AND everywhere)::double precision
                                                                                    AS trust_all_addresses_rules
     , pg_catalog.count(*) FILTER (WHERE good AND auth_method <> 'reject' AND everywhere)::double precision
                                                                                    AS all_addresses_rules
     , pg_catalog.count(*) FILTER (WHERE good AND clear AND NOT here)::double precision
                                                                                    AS clear_password_rules
  FROM rule`}},
	Metrics: []spec.Metric{
		{Name: "errors", Type: spec.Gauge, Help: "Lines of pg_hba.conf with an error: with one the server keeps the rules it has, and does not start anew."},
		{Name: "trust_local_rules", Type: spec.Gauge, Help: "Rules that ask no proof of who connects from the server's own machine."},
		{Name: "trust_remote_rules", Type: spec.Gauge, Help: "Rules that ask no proof of who connects from elsewhere, from everywhere included."},
		{Name: "trust_all_addresses_rules", Type: spec.Gauge, Help: "Rules that ask no proof of who connects from everywhere."},
		{Name: "all_addresses_rules", Type: spec.Gauge, Help: "Rules that admit every address, by whatever proof."},
		{Name: "clear_password_rules", Type: spec.Gauge, Help: "Rules by which a password may cross the network in clear."},
	},
}
