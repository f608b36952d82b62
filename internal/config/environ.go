package config

import (
	"errors"
	"fmt"
)

// The variables that name the server of /metrics, as postgres_exporter has them.
// Each but the first has a form with _FILE, which names a file that is read again
// at each connect.
const (
	envName = "DATA_SOURCE_NAME" // a whole connection string
	envURI  = "DATA_SOURCE_URI"  // host:port/database?options, without scheme and user
	envUser = "DATA_SOURCE_USER" // need no percent-encoding
	envPass = "DATA_SOURCE_PASS"
)

// Environment returns the server that the DATA_SOURCE_* variables name, and
// whether they name one. An empty variable counts as unset.
func Environment(getenv func(string) string) (Target, bool, error) {
	e := environ{getenv: getenv}
	name, nameFile := e.get(envName)
	uri, uriFile := e.get(envURI)
	user, userFile := e.get(envUser)
	pass, passFile := e.get(envPass)
	hasName, hasURI := name+nameFile != "", uri+uriFile != ""
	switch {
	case e.err != nil:
		return Target{}, false, e.err
	case hasName && hasURI:
		return Target{}, false, fmt.Errorf("%s and %s are both set: unset one, they name the same thing", envName, envURI)
	case !hasName && !hasURI && user+userFile+pass+passFile != "":
		return Target{}, false, fmt.Errorf("%s or %s is set without a server: set %s to host:port/database, or %s to a connection string", envUser, envPass, envURI, envName)
	case !hasName && !hasURI:
		return Target{}, false, nil
	}
	conn := Conn{
		File: nameFile + uriFile, UserFile: userFile, Password: Hidden(pass), PasswordFile: passFile,
		amend: amendment{Bare: hasURI, User: user},
	}
	from := envName
	if hasURI {
		from = envURI
	}
	var err error
	if conn.File != "" {
		from += fileSuffix
		conn.String, err = readConnString(conn.File, conn.amend)
	} else {
		var s string
		s, err = conn.amend.apply(name + uri)
		conn.String, conn.amend = Hidden(s), amendment{}
	}
	if err != nil {
		return Target{}, false, fmt.Errorf("%s: %w", from, err)
	}
	if err := conn.Validate(); err != nil {
		return Target{}, false, fmt.Errorf("%s: %w", from, err)
	}
	return Target{Conn: conn}, true, nil
}

const fileSuffix = "_FILE"

// environ reads variables and gathers what is wrong with them.
type environ struct {
	getenv func(string) string
	err    error
}

// get returns a variable, or the file its form with _FILE names.
func (e *environ) get(name string) (value, file string) {
	value, file = e.getenv(name), e.getenv(name+fileSuffix)
	if value != "" && file != "" {
		e.err = errors.Join(e.err, fmt.Errorf("%s and %s are both set: unset one", name, name+fileSuffix))
	}
	if file != "" {
		if err := readable(file); err != nil {
			e.err = errors.Join(e.err, fmt.Errorf("%s: %w", name+fileSuffix, err))
		}
	}
	return value, file
}
