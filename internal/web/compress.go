package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// compress returns what to write the page to, and what to call at its end.
func (s *Server) compress(w http.ResponseWriter, r *http.Request) (io.Writer, func() error) {
	if !acceptsGzip(r.Header) {
		return w, func() error { return nil }
	}
	z, ok := s.gzips.Get().(*gzip.Writer)
	if ok {
		z.Reset(w)
	} else {
		var err error
		// Levels above the fastest cost more than all the rest of a page.
		if z, err = gzip.NewWriterLevel(w, gzip.BestSpeed); err != nil {
			return w, func() error { return err }
		}
	}
	w.Header().Set("Content-Encoding", "gzip")
	return z, func() error {
		err := z.Close()
		// Let go of the request before the pool keeps the writer.
		z.Reset(io.Discard)
		s.gzips.Put(z)
		return err
	}
}

// acceptsGzip reports whether the client can read gzip: RFC 9110, 12.5.3.
func acceptsGzip(header http.Header) bool {
	for _, line := range header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, ok := strings.CutPrefix(strings.TrimSpace(params), "q=")
			if !ok {
				return true
			}
			weight, err := strconv.ParseFloat(q, 64)
			return err == nil && weight > 0
		}
	}
	return false
}
