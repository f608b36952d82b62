package web

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/config"
)

// load reads the configuration file and puts its targets in place.
func (s *Server) load() error {
	var file config.File
	if s.opt.Load != nil {
		var err error
		if file, err = s.opt.Load(); err != nil {
			s.process.loaded(err)
			return err
		}
	}
	s.readiness.Store(&file.Readiness)
	s.pool.set(file.Targets, file.Backups)
	s.process.loaded(nil)
	for _, warning := range file.Warnings {
		level.Warn(s.opt.Logger).Log("msg", warning)
	}
	return nil
}

// errNoFile says that there is nothing to reload.
var errNoFile = errors.New("there is no configuration file to reload: pgvigil was started without --config.file")

// Reload reads the configuration file anew. What is wrong leaves everything as it
// was.
func (s *Server) Reload() error {
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.opt.Load == nil {
		level.Warn(s.opt.Logger).Log("msg", "not reloaded", "err", errNoFile)
		return errNoFile
	}
	if err := s.load(); err != nil {
		level.Error(s.opt.Logger).Log("msg", "not reloaded: the configuration stays as it was", "err", err)
		return fmt.Errorf("not reloaded: the configuration stays as it was\n%w", err)
	}
	level.Info(s.opt.Logger).Log("msg", "configuration reloaded")
	return nil
}

// reload answers /-/reload. It needs no switch: whoever asks can make us read a
// file again, and nothing else.
func (s *Server) reload(w http.ResponseWriter, _ *http.Request) {
	switch err := s.Reload(); {
	case errors.Is(err, errNoFile):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		fmt.Fprintln(w, "configuration reloaded")
	}
}
