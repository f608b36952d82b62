// Package page turns columns of values into the text of a metrics page.
//
// client_golang builds a dozen objects for each sample and sorts them; that
// costs more than everything else in a scrape of a large server. Here a row's
// labels are rendered once, when its result is made, and a page is those blocks
// and the values in order. The text is byte for byte what expfmt writes for the
// same families; the tests hold it to that.
package page

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/internal/spec"
)

const (
	// BufferSize is large enough that gzip and the kernel see few writes. A
	// *bufio.Writer of this size is used as it is, so that it can be used again.
	BufferSize = 64 << 10
	// tailSize is room for the rest of a line after its labels: the longest
	// float64 is 24 bytes.
	tailSize = 32
)

// Write writes a page in a format that Negotiate returned: the families in the
// given order, then rest, the process's own metrics, through expfmt. Families
// without a sample are left out. Names must not occur twice.
//
// A family that fails its Check is left out as well and the error returned once
// the page is complete: it costs only itself.
func Write(w io.Writer, format expfmt.Format, families []Family, rest []*dto.MetricFamily) error {
	openMetrics := false
	switch version := format.Version(); {
	case format.FormatType() == expfmt.TypeTextPlain:
	case format.FormatType() == expfmt.TypeOpenMetrics &&
		(version == expfmt.OpenMetricsVersion_1_0_0 || version == expfmt.OpenMetricsVersion_0_0_1):
		openMetrics = true
	default:
		return fmt.Errorf("write page: format %q is not supported", format)
	}
	out := bufio.NewWriterSize(w, BufferSize)
	var bad []error
	for _, f := range families {
		if err := f.Check(); err != nil {
			bad = append(bad, err)
			continue
		}
		if err := writeFamily(out, f, openMetrics); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
	}
	if err := writeRest(out, format, rest); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return errors.Join(bad...)
}

// writeRest writes families that are dto already and, where the format has one,
// the line that ends the page.
func writeRest(out *bufio.Writer, format expfmt.Format, rest []*dto.MetricFamily) error {
	enc := expfmt.NewEncoder(out, format)
	for _, mf := range rest {
		// expfmt refuses a family without metrics in text and would then cost the page.
		if len(mf.GetMetric()) == 0 {
			continue
		}
		if err := enc.Encode(mf); err != nil {
			return err
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		return c.Close()
	}
	return nil
}

func writeFamily(out *bufio.Writer, f Family, openMetrics bool) error {
	if f.empty() {
		return nil
	}
	if _, err := out.Write(appendHeader(out.AvailableBuffer(), f, openMetrics)); err != nil {
		return err
	}
	for _, c := range f.Columns {
		if err := writeColumn(out, f.Name, c, openMetrics); err != nil {
			return err
		}
	}
	return nil
}

func writeColumn(out *bufio.Writer, name string, c Column, openMetrics bool) error {
	for row, v := range c.Values {
		if spec.IsAbsent(v) {
			continue
		}
		block := c.Labels.Block(row)
		// The line is built in place; one that did not fit would be allocated.
		if out.Available() < len(name)+len(block)+tailSize {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		line := append(out.AvailableBuffer(), name...)
		line = append(line, block...)
		line = append(line, ' ')
		line = appendValue(line, v, openMetrics)
		line = append(line, '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// appendHeader appends the HELP and TYPE lines. OpenMetrics wants quotes escaped
// in help texts, and knows no counter whose sample does not end in _total.
func appendHeader(b []byte, f Family, openMetrics bool) []byte {
	name, kind := f.Name, f.Type.String()
	if openMetrics {
		name = f.openMetricsName()
		if f.Type == spec.Counter && name == f.Name {
			kind = "unknown"
		}
	}
	b = append(b, "# HELP "...)
	b = append(b, name...)
	b = append(b, ' ')
	b = appendEscaped(b, []byte(f.help()), openMetrics)
	b = append(b, "\n# TYPE "...)
	b = append(b, name...)
	b = append(b, ' ')
	b = append(b, kind...)
	return append(b, '\n')
}

// appendValue appends v as expfmt prints it: the shortest text that reads back
// as v, minus zero as zero, and in OpenMetrics always with a point or exponent.
func appendValue(b []byte, v float64, openMetrics bool) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, +1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case math.Abs(v) < 1e6 && v == math.Trunc(v):
		// From 1e6 on, the shortest text has an exponent.
		b = strconv.AppendInt(b, int64(v), 10)
		if openMetrics {
			b = append(b, ".0"...)
		}
		return b
	}
	// Any other number has a point, or is so large or small that it has an exponent.
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}
