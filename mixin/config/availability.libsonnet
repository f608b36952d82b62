// Levels of alerts/availability.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // Users cannot reach the database. The rule already looks at three minutes of scrapes, so a minute more is enough.
  PostgresDown: { critical: { 'for': '1m' } },
}
