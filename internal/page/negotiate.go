package page

import (
	"net/http"

	"github.com/prometheus/common/expfmt"
)

// Negotiate returns the format to answer a request in, which is also the
// Content-Type of the answer: the OpenMetrics or text version its Accept header
// likes best, and text where it likes neither. Never protobuf: that would need
// the objects this package exists to avoid, and every scraper reads text.
func Negotiate(header http.Header) expfmt.Format {
	return expfmt.NegotiateAccept(header,
		expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtText)
}
