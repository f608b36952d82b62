package config

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgvigil/pgvigil/internal/readiness"
)

// Readiness is what servers are judged by, where it is not as usual.
type Readiness struct {
	// Limits replace thresholds, by name.
	Limits map[string]float64
	// Accept lists findings that somebody has decided to live with.
	Accept []Accept
	// RemoteStandby is a regular expression for the application_name or address of
	// standbys elsewhere; "" is none.
	RemoteStandby string
	// Networks are those that sessions may come from; none is any that is not public.
	Networks []netip.Prefix
}

// Accept is a decision to live with what a check finds.
type Accept struct {
	// Check is its name, Reason why, Until the last day on which it holds.
	Check, Reason string
	Until         time.Time
	// Target is the server it is about; "" is all.
	Target string
}

// Options are what the check of one server goes by; that of /metrics has no name.
func (r Readiness) Options(target string) readiness.Options {
	opt := readiness.Options{Limits: r.Limits, Networks: r.Networks}
	for _, a := range r.Accept {
		if a.Target == "" || a.Target == target || a.Target == MainPage && target == "" {
			opt.Accept = append(opt.Accept, readiness.Acceptance{Check: a.Check, Reason: a.Reason, Until: a.Until})
		}
	}
	if r.RemoteStandby != "" {
		opt.Remote = regexp.MustCompile(r.RemoteStandby) // the decoder has compiled it before
	}
	return opt
}

// readiness reads the section.
func (d *decoder) readiness(n *yaml.Node) (r Readiness) {
	d.mapping(n, "readiness", map[string]field{
		"limits": d.limits(&r.Limits),
		"accept": func(key string, n *yaml.Node) {
			for _, item := range d.sequence(key, n) {
				r.Accept = append(r.Accept, d.accept(item))
			}
		},
		"remote_standby": d.pattern(&r.RemoteStandby),
		"networks":       d.networks(&r.Networks),
	})
	return r
}

func (d *decoder) limits(into *map[string]float64) field {
	return func(key string, n *yaml.Node) {
		fields := map[string]field{}
		*into = map[string]float64{}
		for _, l := range readiness.DefaultLimits() {
			fields[l.Name] = func(key string, n *yaml.Node) {
				text, ok := d.scalar(key, n)
				if !ok {
					return
				}
				v, err := strconv.ParseFloat(text, 64)
				if err != nil || !(v >= 0) {
					d.failf(n, "%s is not a number of at least 0: %s", key, l.About)
					return
				}
				(*into)[l.Name] = v
			}
		}
		d.mapping(n, key, fields)
	}
}

func (d *decoder) accept(n *yaml.Node) (a Accept) {
	before := len(d.errs)
	has := d.mapping(n, "an acceptance", map[string]field{
		"check":  d.text(&a.Check),
		"reason": d.text(&a.Reason),
		"target": func(key string, n *yaml.Node) {
			d.text(&a.Target)(key, n)
			d.acceptedOn = append(d.acceptedOn, n)
		},
		"until": func(key string, n *yaml.Node) {
			text, ok := d.scalar(key, n)
			if !ok {
				return
			}
			var err error
			if a.Until, err = time.Parse(time.DateOnly, text); err != nil {
				d.failf(n, "%s is not a day: write it like 2027-03-31", key)
			}
		},
	})
	if len(d.errs) > before {
		return a
	}
	names := checkNames()
	for _, key := range []string{"check", "reason", "until"} {
		if has[key] == nil {
			d.failf(n, "an acceptance has no %s: it has a check, a reason and the last day it holds, until", key)
		}
	}
	if at := has["check"]; at != nil && !slices.Contains(names, a.Check) {
		d.failf(at, "there is no such check: pgvigil check --list has their names")
	}
	return a
}

// acceptances checks that they are about servers that there are.
func (d *decoder) acceptances(targets []Target) {
	if len(d.errs) > 0 {
		return // a target that has its own fault would seem to be missing
	}
	for _, n := range d.acceptedOn {
		if n.Value != MainPage && !slices.ContainsFunc(targets, func(t Target) bool { return t.Name == n.Value && t.Kind == PostgreSQL }) {
			d.failf(n, "target names no server: give the name of one, or %s", MainPage)
		}
	}
}

func checkNames() (names []string) {
	for _, c := range readiness.Checks() {
		names = append(names, c.Name)
	}
	return names
}

func (d *decoder) pattern(into *string) field {
	return func(key string, n *yaml.Node) {
		text, ok := d.scalar(key, n)
		if !ok {
			return
		}
		if _, err := regexp.Compile(text); err != nil {
			d.failf(n, "%s is not a regular expression: %s", key, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			return
		}
		*into = text
	}
}

func (d *decoder) networks(into *[]netip.Prefix) field {
	return func(key string, n *yaml.Node) {
		for _, item := range d.sequence(key, n) {
			text, ok := d.scalar(key, item)
			if !ok {
				continue
			}
			p, err := netip.ParsePrefix(text)
			if err != nil {
				d.failf(item, "%s: not a network: write it like 10.0.0.0/8 or fd00::/8", key)
				continue
			}
			*into = append(*into, p.Masked())
		}
	}
}
