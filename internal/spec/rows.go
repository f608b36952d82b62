package spec

import (
	"fmt"
	"math"
)

// Absent stands for SQL's NULL among values: a NaN that no arithmetic makes.
// A value that is absent gives no sample.
func Absent() float64 { return math.Float64frombits(absentBits) }

// IsAbsent reports whether v is the value Absent returns. An ordinary NaN, which
// PostgreSQL's double precision may hold, is not absent.
func IsAbsent(v float64) bool { return math.Float64bits(v) == absentBits }

const absentBits = 0x7ff8_0000_0000_5047

// Kind is the kind of a result's column.
type Kind uint8

const (
	// Text is a column of type text: a label, a key or a word Emit reads.
	Text Kind = iota
	// Value is a column of type double precision.
	Value
)

// Column is a column of a result.
type Column struct {
	Name string
	Kind Kind
}

// Rows is a result kept as two flat arrays, row by row: the text columns in one,
// the value columns in the other. It is filled once and then only read.
type Rows struct {
	columns []Column
	offset  []int // of a column within its own kind
	texts   int   // columns of kind Text
	floats  int   // columns of kind Value
	n       int

	text   []byte
	ends   []int // end in text of each text cell; a NULL ends at -1-end
	values []float64
}

// NewRows returns an empty result with the given columns.
func NewRows(columns []Column) *Rows {
	r := &Rows{columns: columns, offset: make([]int, len(columns))}
	for i, c := range columns {
		if c.Kind == Text {
			r.offset[i] = r.texts
			r.texts++
		} else {
			r.offset[i] = r.floats
			r.floats++
		}
	}
	return r
}

// Reset empties the result and keeps its columns and its memory.
func (r *Rows) Reset() {
	r.n, r.text, r.ends, r.values = 0, r.text[:0], r.ends[:0], r.values[:0]
}

// Columns returns the columns in the order of the result.
func (r *Rows) Columns() []Column { return r.columns }

// Len returns the number of complete rows.
func (r *Rows) Len() int { return r.n }

// AppendText appends the next text cell of the current row; nil is NULL.
func (r *Rows) AppendText(b []byte) {
	if b == nil {
		r.ends = append(r.ends, -1-len(r.text))
		return
	}
	r.text = append(r.text, b...)
	r.ends = append(r.ends, len(r.text))
}

// AppendValue appends the next value cell of the current row.
func (r *Rows) AppendValue(v float64) { r.values = append(r.values, v) }

// EndRow completes the current row. It fails when cells are missing or too many.
func (r *Rows) EndRow() error {
	r.n++
	if len(r.ends) != r.n*r.texts || len(r.values) != r.n*r.floats {
		return fmt.Errorf("row %d has %d text and %d value cells so far, wanted %d and %d",
			r.n, len(r.ends), len(r.values), r.n*r.texts, r.n*r.floats)
	}
	return nil
}

// Find returns the position of a column among those of its kind, for TextAt or
// ValueAt, and whether the result has it.
func (r *Rows) Find(name string, kind Kind) (int, bool) {
	for i, c := range r.columns {
		if c.Name == name && c.Kind == kind {
			return r.offset[i], true
		}
	}
	return 0, false
}

// TextAt returns the text cell of a row and whether it is not NULL. The bytes
// are the result's own and must not be changed.
func (r *Rows) TextAt(row, at int) ([]byte, bool) {
	i := row*r.texts + at
	start, end := 0, r.ends[i]
	if i > 0 {
		start = absEnd(r.ends[i-1])
	}
	if end < 0 {
		return nil, false
	}
	return r.text[start:end], true
}

func absEnd(end int) int {
	if end < 0 {
		return -1 - end
	}
	return end
}

// ValueAt returns the value cell of a row, absent where it is NULL.
func (r *Rows) ValueAt(row, at int) float64 { return r.values[row*r.floats+at] }

// Text returns the text of the named column, "" where it is NULL or the result
// lacks the column.
func (r *Rows) Text(row int, name string) string {
	at, ok := r.Find(name, Text)
	if !ok {
		return ""
	}
	b, _ := r.TextAt(row, at)
	return string(b)
}

// Value returns the value of the named column, absent where it is NULL or the
// result lacks the column.
func (r *Rows) Value(row int, name string) float64 {
	at, ok := r.Find(name, Value)
	if !ok {
		return Absent()
	}
	return r.ValueAt(row, at)
}

// Sink takes the samples of an Emitter.
type Sink struct {
	collector Collector
	metrics   []Metric // declared by name, so without Any
	rows      *Rows
	pending   []float64
	open      bool
	named     []NamedSample
	err       error
}

// NamedSample is a sample of a metric whose name Emit made. It has no labels.
type NamedSample struct {
	Metric Metric
	Value  float64
}

// NewSink returns a sink for the collector's declared labels and metrics.
func NewSink(c Collector) *Sink {
	s := &Sink{collector: c}
	var columns []Column
	for _, l := range c.Labels {
		columns = append(columns, Column{Name: l, Kind: Text})
	}
	for _, m := range c.Metrics {
		if m.Name != Any {
			s.metrics = append(s.metrics, m)
			columns = append(columns, Column{Name: m.Name, Kind: Value})
		}
	}
	s.rows = NewRows(columns)
	return s
}

// Row begins a row of samples with the collector's labels, in their order.
func (s *Sink) Row(labels ...string) {
	s.flush()
	if len(labels) != len(s.collector.Labels) && s.err == nil {
		s.err = fmt.Errorf("emit: %d label values for labels %v", len(labels), s.collector.Labels)
		return
	}
	for _, l := range labels {
		s.rows.AppendText([]byte(l))
	}
	s.pending = s.pending[:0]
	for range s.metrics {
		s.pending = append(s.pending, Absent())
	}
	s.open = true
}

// Set gives the current row's sample of a declared metric. Absent is no sample.
func (s *Sink) Set(metric string, v float64) {
	for i, m := range s.metrics {
		if m.Name == metric && s.open {
			s.pending[i] = v
			return
		}
	}
	if s.err == nil {
		s.err = fmt.Errorf("emit: metric %q is not declared, or no row is begun", metric)
	}
}

// Named adds a sample of a metric whose alias Emit made; the collector declares
// the pattern with a metric named Any.
func (s *Sink) Named(m Metric, v float64) {
	s.named = append(s.named, NamedSample{Metric: m, Value: v})
}

func (s *Sink) flush() {
	if !s.open {
		return
	}
	for _, v := range s.pending {
		s.rows.AppendValue(v)
	}
	s.open = false
	if err := s.rows.EndRow(); err != nil && s.err == nil {
		s.err = fmt.Errorf("emit: %w", err)
	}
}

// Close returns what was emitted, or the first mistake made with the sink.
func (s *Sink) Close() (*Rows, []NamedSample, error) {
	s.flush()
	return s.rows, s.named, s.err
}
