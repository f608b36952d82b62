package backup

import "context"

// Listing is the gaps.
type Listing struct{}

func lookPgBackRest(context.Context, Config, ask) (Report, error) {
	return Report{}, unclear("not yet")
}

func listPgBackRest(context.Context, Config, ask, Report) (Listing, error) {
	return Listing{}, unclear("not yet")
}
