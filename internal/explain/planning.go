package explain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// Parameter is one of a statement.
type Parameter struct {
	Number int    `json:"number"`
	Type   string `json:"type"`
}

// planning is how a statement comes to its plan.
type planning struct {
	session    *postgres.Session
	entry      Entry
	statement  statement
	settings   []postgres.Setting
	draft      *draft
	parameters []Parameter
	notes      []string
}

const rightsSQL = `
SELECT CURRENT_USER::text                                                                AS role
     , (pg_catalog.current_setting('is_superuser') = 'on'
        OR pg_catalog.pg_has_role('pg_execute_server_program', 'USAGE')
        OR pg_catalog.pg_has_role('pg_write_server_files', 'USAGE'))::int::double precision AS mighty`

// allowed refuses to plan, with the rights of a role that commands the machine, what
// anybody may have written: planning evaluates functions.
func (e *explainer) allowed(ctx context.Context, session *postgres.Session) error {
	var role string
	var mighty bool
	if err := ask(ctx, session, "rights of the role", rightsSQL, nil, func(r rows) {
		role, mighty = r.Text(0, "role"), r.Value(0, "mighty") == 1
	}); err != nil {
		return err
	}
	if mighty && !e.opt.Superuser {
		return refuse(ReasonPrivilege, fmt.Sprintf("the role %s is a superuser, or may run programs and write files on the server; planning may evaluate functions that others have written, with these rights", role),
			"Connect as a role with pg_monitor and, since 14, pg_read_all_data. Where all who may create functions are trusted, pgvigil explain has --allow-superuser.")
	}
	return nil
}

// settingsSQL lists what ALTER DATABASE and ALTER ROLE have set for the statement's
// user, the least specific first, among what counts for a plan. Before them come
// settings of the server where our sessions have others of their own.
const settingsSQL = `
SELECT s.name    AS name
     , s.setting AS setting
  FROM (SELECT p.name, p.reset_val AS setting, 0 AS rank
          FROM pg_catalog.pg_settings AS p
         WHERE p.name IN ('search_path', 'work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather')
         UNION ALL
        SELECT p.name, pg_catalog.substr(c.entry, pg_catalog.strpos(c.entry, '=') + 1)
             , 1 + (r.setdatabase <> 0)::int + 2 * (r.setrole <> 0)::int
          FROM pg_catalog.pg_db_role_setting AS r
         CROSS JOIN pg_catalog.unnest(r.setconfig) AS c (entry)
          JOIN pg_catalog.pg_settings AS p ON p.name = pg_catalog.split_part(c.entry, '=', 1)
         WHERE r.setdatabase IN (0, ($1::text[])[1]::oid)
           AND r.setrole IN (0, ($1::text[])[2]::oid)
           AND p.context = 'user'
           AND (p.name LIKE 'enable\_%' OR p.name LIKE 'geqo%' OR p.name LIKE '%\_cost' OR p.name LIKE 'min\_parallel\_%'
                OR p.name IN ('search_path', 'work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather', 'effective_cache_size',
                              'effective_io_concurrency', 'from_collapse_limit', 'join_collapse_limit', 'constraint_exclusion',
                              'parallel_leader_participation', 'recursive_worktable_factor'))) AS s
 ORDER BY s.rank`

// prepare finds out what the statement is planned with.
func (p *planning) prepare(ctx context.Context, req Request) error {
	if err := ask(ctx, p.session, "settings of the user", settingsSQL, []string{p.entry.database, p.entry.owner}, func(r rows) {
		for i := range r.Len() {
			p.set(r.Text(i, "name"), r.Text(i, "setting"))
		}
	}); err != nil {
		return err
	}
	if req.SearchPath != "" {
		p.set("search_path", req.SearchPath)
	}
	// Nothing is executed, and what planning evaluates needs no other process. The
	// planner does not look at this one.
	p.set("max_parallel_workers", "0")
	p.set("standard_conforming_strings", "on")
	return p.declare(ctx, req.Types)
}

// set makes a setting. What stands for the user's own schema would be ours.
func (p *planning) set(name, setting string) {
	if name == "search_path" {
		setting = strings.ReplaceAll(setting, `"$user"`, postgres.QuoteIdent(p.entry.user()))
	}
	p.settings = slices.DeleteFunc(p.settings, func(s postgres.Setting) bool { return s.Name == name })
	p.settings = append(p.settings, postgres.Setting{Name: name, Value: setting})
}

// setting returns a setting that the statement is planned with.
func (p *planning) setting(name string) string {
	for _, s := range p.settings {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

func (p *planning) searchPath() string { return p.setting("search_path") }

// namedTypesSQL finds types as the statement would: its search_path is in force until
// the end of this one.
const namedTypesSQL = `
SELECT u.name                                                                          AS name
     , coalesce(pg_catalog.to_regtype(u.name)::oid::bigint, 0)::double precision       AS type
  FROM (SELECT pg_catalog.set_config('search_path', ($1::text[])[1], true) OFFSET 0) AS path
  LEFT JOIN pg_catalog.unnest(($1::text[])[2:]) WITH ORDINALITY AS u (name, n) ON true
 ORDER BY u.n`

// declare takes the types that PREPARE or the request names, and sees whether the
// search_path is one.
func (p *planning) declare(ctx context.Context, named map[int]string) error {
	p.draft = &draft{statement: p.statement, given: map[int]uint32{}}
	all := map[int]string{}
	for i, name := range p.statement.types {
		all[i+1] = name
	}
	maps.Copy(all, named)
	maps.DeleteFunc(all, func(_ int, name string) bool { return strings.EqualFold(name, "unknown") })
	numbers := slices.Sorted(maps.Keys(all))
	names := []string{p.searchPath()}
	for _, n := range numbers {
		names = append(names, all[n])
	}
	var missing []string
	err := ask(ctx, p.session, "types", namedTypesSQL, names, func(r rows) {
		for i := range numbers {
			oid := uint32(r.Value(i, "type"))
			if oid == 0 {
				missing = append(missing, strconv.Quote(r.Text(i, "name")))
			}
			p.draft.given[numbers[i]] = oid
		}
	})
	if fault, told := postgres.FaultOf(err); told {
		return refuse(ReasonRequest, "a type or the search_path cannot be read: "+fault.Message, "Write them as in SQL.")
	}
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return refuse(ReasonRequest, "there is no type "+strings.Join(missing, ", "), "Write it as in SQL, with its schema.")
	}
	return nil
}

// plan parses the statement, mended where that is needed, and plans it.
func (p *planning) plan(ctx context.Context) (*Plan, error) {
	types, err := p.parse(ctx)
	if err != nil {
		return nil, err
	}
	if types, err = p.look(ctx, types); err != nil {
		return nil, err
	}
	plan, err := p.ask(ctx, types)
	if err != nil {
		return nil, err
	}
	if p.session.Facts.Major < 16 && plan.pruned() {
		// Partitions have been taken out for parameters that are NULL.
		p.set("enable_partition_pruning", "off")
		if plan, err = p.ask(ctx, types); err != nil {
			return nil, err
		}
		p.notes = append(p.notes, "All partitions are shown: which are left out when it runs depends on parameters.")
	}
	if strings.Contains(p.statement.sql, "/*, ... */") {
		p.notes = append(p.notes, "pg_stat_statements has made one element of a list, whatever its length; the plan is for one.")
	}
	if p.entry.Within {
		p.notes = append(p.notes, "The statement ran within functions only, where it may have been planned for other parameters.")
	}
	return plan, nil
}

// parse returns the types of the parameters.
func (p *planning) parse(ctx context.Context) ([]uint32, error) {
	for try := 0; ; try++ {
		types, err := p.session.Parse(ctx, p.attempt())
		fault, told := postgres.FaultOf(err)
		switch {
		case err == nil:
			p.draft.settle()
			p.notes = append(p.notes, p.draft.notes...)
			return types, nil
		case !told:
			return nil, err
		case try == mends-1 || !p.draft.mend(fault):
			return nil, p.refusal(ctx, err, fault)
		}
	}
}

// attempt is the draft as it is.
func (p *planning) attempt() postgres.Statement {
	st := postgres.Statement{SQL: p.draft.sql, Settings: p.settings, Timeout: planTimeout}
	for n, oid := range p.draft.given {
		for len(st.Types) < n {
			st.Types = append(st.Types, 0)
		}
		st.Types[n-1] = oid
	}
	return st
}

const typesSQL = `
WITH RECURSIVE base AS (
SELECT u.n
     , u.oid::bigint::oid AS oid
     , u.oid::bigint::oid AS type
  FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS u (oid, n)
 UNION ALL
SELECT b.n
     , b.oid
     , t.typbasetype
  FROM base AS b
  JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND t.typtype = 'd'
)
SELECT pg_catalog.format_type(b.oid, NULL)::text      AS name
     , b.type::bigint::double precision               AS type
  FROM base AS b
  JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND t.typtype <> 'd'
 ORDER BY b.n`

// look looks up the parameters' types, and returns those to plan with: a domain may
// not take the NULL that stands for a value.
func (p *planning) look(ctx context.Context, types []uint32) ([]uint32, error) {
	if len(types) == 0 {
		return nil, nil
	}
	var oids []string
	for _, oid := range types {
		oids = append(oids, strconv.FormatUint(uint64(oid), 10))
	}
	var base []uint32
	left := p.draft.numbers()
	if err := ask(ctx, p.session, "types", typesSQL, oids, func(r rows) {
		for i := range r.Len() {
			base = append(base, uint32(r.Value(i, "type")))
			if left[i+1] {
				p.parameters = append(p.parameters, Parameter{Number: i + 1, Type: r.Text(i, "name")})
			}
		}
	}); err != nil {
		return nil, err
	}
	if len(base) != len(types) {
		return nil, fmt.Errorf("look up types: %d of %d are there", len(base), len(types))
	}
	return base, nil
}

// ask asks for the plan.
func (p *planning) ask(ctx context.Context, types []uint32) (*Plan, error) {
	st := p.attempt()
	st.Types = types
	text, err := p.session.Plan(ctx, st)
	if fault, told := postgres.FaultOf(err); told {
		return nil, p.refusal(ctx, err, fault)
	}
	if err != nil {
		return nil, err
	}
	plan, err := readPlan(text)
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	return plan, nil
}

// memory is what the statement may take for one sort, and for one hash.
type memory struct{ sort, hash float64 }

// memory returns it. The multiplier came with 13, and is 2 since 15 by default.
func (p *planning) memory() memory {
	m := memory{sort: memoryOf(p.setting("work_mem"))}
	m.hash = m.sort
	multiplier, err := strconv.ParseFloat(p.setting("hash_mem_multiplier"), 64)
	if err == nil {
		m.hash *= multiplier
	}
	return m
}

// memoryOf reads an amount of memory as a setting writes it; without a unit it is kB.
func memoryOf(s string) float64 {
	s = strings.TrimSpace(s)
	digits := strings.TrimRight(s, "BkMGT ")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0
	}
	switch strings.TrimSpace(s[len(digits):]) {
	case "B":
		return n
	case "MB":
		return n * (1 << 20)
	case "GB":
		return n * (1 << 30)
	case "TB":
		return n * (1 << 40)
	}
	return n * 1024
}
