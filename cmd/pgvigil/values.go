package main

import (
	"fmt"
	"strconv"
	"strings"
)

// kingpin's own values do not say in their errors which flag is wrong, and a
// variable that is wrong shows no flag at all. These do.

// named adds the flag to an error.
func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%s: %w", flag, err)
}

// value is a flag of any type.
type value[T any] struct {
	name  string
	into  *T
	parse func(string) (T, error)
}

// Set parses the flag's text.
func (v *value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.into = parsed
	}
	return named(v.name, err)
}

// String returns the value.
func (v *value[T]) String() string { return fmt.Sprint(*v.into) }

// patterns is a flag that may be repeated, each time a regular expression.
type patterns struct {
	name string
	into *[]string
}

// Set adds one.
func (v *patterns) Set(s string) error {
	parsed, err := regular(s)
	if err == nil {
		*v.into = append(*v.into, parsed)
	}
	return named(v.name, err)
}

// String returns all.
func (v *patterns) String() string { return strings.Join(*v.into, " ") }

// IsCumulative tells kingpin that the flag may be repeated.
func (v *patterns) IsCumulative() bool { return true }

// switched is a flag that is on or off.
type switched struct {
	name, key string
	into      map[string]bool
}

// Set takes true for --name, false for --no-name, and either from a variable.
func (v *switched) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err != nil {
		return named(v.name, fmt.Errorf("%q is neither true nor false", s))
	}
	v.into[v.key] = on
	return nil
}

// String returns the value.
func (v *switched) String() string { return strconv.FormatBool(v.into[v.key]) }

// IsBoolFlag tells kingpin that the flag takes no value and has a --no- form.
func (v *switched) IsBoolFlag() bool { return true }

// bound is a flag that stays out of the map until it is given.
type bound struct {
	name, key string
	into      map[string]int
}

// Set parses the number.
func (v *bound) Set(s string) error {
	n, err := atLeast(0, "0 shows all")(s)
	if err == nil {
		v.into[v.key] = n
	}
	return named(v.name, err)
}

// String returns the number, if there is one.
func (v *bound) String() string {
	if n, ok := v.into[v.key]; ok {
		return strconv.Itoa(n)
	}
	return ""
}
