// What queries have in common: selectors, the labels to group by, and durations. query(c) is an object to format PromQL
// texts with:
//
//   ||| max by (%(by)s) (max_over_time(pg_up{%(sel)s}[%(3m)s])) == 0 ||| % q
//
//   sel, patroniSel     matchers of the series
//   by                  labels of one instance: cluster, job, pg_cluster, instance, and the extra ones
//   byCluster           labels of one PostgreSQL cluster: the same without job and instance
//   byScope             the same with scope, which is what Patroni calls a cluster
//   byJob               labels of one job in a Prometheus cluster
//   clustered           matcher of series that say which PostgreSQL cluster they are of; '' where no label says so
//   datname             matcher of the databases that are looked at
//   onPrimary           appended to an expression by instance: only where the instance is primary
//   onStandby           the same for standbys
//   5m, 1h, 7d, ...     durations, times timeScale
{
  local units = { s: 1, m: 60, h: 3600, d: 86400 },

  // seconds('15m') is 900.
  seconds(duration)::
    local n = std.length(duration) - 1;
    std.parseInt(duration[:n]) * units[duration[n]],

  // duration('15m', 0.1) is 90s.
  duration(text, scale)::
    if scale == 1 then text else '%ds' % std.max(1, std.round(self.seconds(text) * scale)),

  local durations = [
    '30s',
    '1m',
    '2m',
    '3m',
    '5m',
    '10m',
    '15m',
    '20m',
    '30m',
    '45m',
    '1h',
    '2h',
    '3h',
    '4h',
    '6h',
    '12h',
    '24h',
    '1d',
    '2d',
    '3d',
    '7d',
    '14d',
    '30d',
  ],

  query(c)::
    local join(labels) = std.join(', ', std.filter(function(l) l != '', labels + c.extraLabels));
    { [d]: $.duration(d, c.timeScale) for d in durations } + {
      sel: c.selector,
      patroniSel: c.patroniSelector,
      clustered: if c.pgClusterLabel == '' then '' else '%s!=""' % c.pgClusterLabel,
      datname: c.datnameFilter,
      by: join([c.clusterLabel, 'job', c.pgClusterLabel, 'instance']),
      byJob: join([c.clusterLabel, 'job']),
      byCluster: join([c.clusterLabel, c.pgClusterLabel]),
      byScope: join([c.clusterLabel, c.pgClusterLabel, 'scope']),
      onPrimary: 'and on (%s) instance:pg_primary:max == 1' % self.by,
      onStandby: 'and on (%s) instance:pg_primary:max == 0' % self.by,
    },
}
