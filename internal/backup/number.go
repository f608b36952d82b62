package backup

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// A number is a whole number of a tool's JSON. Releases differ in whether they
// write it as a number or as a string; null and what is left out is not known.
type number struct {
	value uint64
	known bool
}

// UnmarshalJSON reads 12, 12.5, "12" and null.
func (n *number) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	if text == "null" || text == "" {
		*n = number{}
		return nil
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil { // rates and some sizes have a fraction, which nobody needs
		f, ferr := strconv.ParseFloat(text, 64)
		if ferr != nil || !(f >= 0 && f < 1<<63) {
			return fmt.Errorf("%.40q is not a number of bytes or seconds", text)
		}
		value = uint64(f)
	}
	*n = number{value, true}
	return nil
}

// bytes is the number as a size.
func (n number) bytes() float64 {
	if !n.known {
		return spec.Absent()
	}
	return float64(n.value)
}

// moment is the number as seconds since 1970; zero and what no clock shows is
// not known.
func (n number) moment() time.Time {
	if !n.known || n.value == 0 || n.value > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(n.value), 0)
}
