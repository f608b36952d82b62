// Whether servers answer, and whether anybody would know.
{
  PostgresDown: {
    group: 'availability',
    summary: 'PostgreSQL does not answer.',
    description: |||
      The exporter could not open or use a session on {{ $labels.instance }} in any scrape of three minutes. Clients most
      likely cannot either.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        instance:pg_up:max3m == 0
      ||| % l,
  },
}
