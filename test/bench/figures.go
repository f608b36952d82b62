package main

import (
	"slices"
	"time"
)

// figures are what was measured of one workload.
type figures struct {
	load    workload
	version string

	counted          traffic // of one warm scrape
	families, series int
	lastSeries       int // after the paced scrapes
	bytes, zipped    int // of a page
	folded           int // label sets that the page does not show but adds up

	firstWall, firstExporter, firstServer time.Duration

	wall  []time.Duration // of scrapes one after the other
	turns []turn
	gzip  time.Duration // exporter CPU of a compressed page

	kept, small, own pages // of kept results

	pacedWall                  []time.Duration
	pacedExporter, pacedServer time.Duration // CPU per scrape, refreshes included
	sessions                   int           // most at once
	opened, openedMain         int           // during the paced scrapes
	rss, peak                  int

	// Server CPU of what is not read with each scrape: of all, and of what reads no
	// sizes of files, and that by collector.
	bareCold, bareWarm time.Duration
	bareNoSizes        time.Duration
	bareBy             map[string]time.Duration

	hour       hourFigures
	lifted     liftedFigures
	statements statementFigures
	tempFiles  int // written on the server since it was filled
}

// pages are pages of one kind.
type pages struct {
	series   int
	exporter []time.Duration // CPU of one, by turn
}

func (p pages) median() time.Duration { return quantile(p.exporter, 0.5) }

// turn is the CPU time of one turn, per scrape.
type turn struct {
	exporter, server         time.Duration
	bareClient, bareServer   time.Duration
	batchClient, batchServer time.Duration
	write                    time.Duration
}

// median is of one time of all turns.
func (f *figures) median(of func(turn) time.Duration) time.Duration {
	list := make([]time.Duration, len(f.turns))
	for i, t := range f.turns {
		list[i] = of(t)
	}
	return quantile(list, 0.5)
}

// ratio is the median of the turns' ratios, so that a turn in which the machine
// was slow counts as any other.
func (f *figures) ratio(of func(turn) (above, below time.Duration)) float64 {
	list := make([]float64, len(f.turns))
	for i, t := range f.turns {
		above, below := of(t)
		list[i] = float64(above) / float64(below)
	}
	return quantile(list, 0.5)
}

// quantile is the smallest value that q of the list does not exceed.
func quantile[T time.Duration | float64](list []T, q float64) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
