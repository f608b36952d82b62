package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// bound is a figure that must not exceed its bound. A value that is not a number
// was not measured.
type bound struct {
	name         string
	value, bound float64
}

func (b bound) measured() string {
	if math.IsNaN(b.value) {
		return nothing
	}
	return fmt.Sprintf("%.2f", b.value)
}

func (b bound) met() string {
	switch {
	case math.IsNaN(b.value):
		return nothing
	case b.value > b.bound:
		return "NO"
	}
	return "yes"
}

// limits are the bounds that differ between workloads; 0 is none.
type limits struct {
	series       float64 // of a page
	wall         float64 // p95 of warm and of paced scrapes, ms
	memory       float64 // MB
	sessions     float64
	openedMain   bool // no session is opened on the main database
	hour         bool
	liftedWall   float64
	liftedMemory float64
	refresh      float64 // of all but file sizes, lifted, ms
}

func (f *figures) limits() limits {
	switch strings.TrimSuffix(f.load.name, liftedSuffix) {
	case "S":
		return limits{series: 3000, liftedWall: 60}
	case "M":
		return limits{series: 30000, wall: 100, memory: 64, sessions: 3, openedMain: true, liftedWall: 600}
	default:
		return limits{series: 60000, wall: 250, memory: 200, sessions: 3, hour: true, liftedWall: 4000, liftedMemory: 400, refresh: 3000}
	}
}

func bounds(f *figures) []bound {
	l := f.limits()
	var list []bound
	add := func(name string, value, most float64) {
		if most > 0 {
			list = append(list, bound{name, value, most})
		}
	}
	none := func(name string, value float64) { list = append(list, bound{name, value, 0}) }
	if f.load.lifted {
		add("wall p95 of whole pages, ms", inMS(quantile(f.wall, 0.95)), l.liftedWall)
		none("tables missing from the page", float64(f.lifted.tablesMissing))
		none("collectors that fold something", float64(f.lifted.folded))
		none("collectors that failed", float64(f.lifted.failed))
		add("resident memory, MB", mb(f.rss), l.liftedMemory)
		add("server CPU of a refresh without file sizes, ms", inMS(f.bareNoSizes), l.refresh)
		return list
	}
	add("series of a page", float64(max(f.series, f.lastSeries)), l.series)
	add("server CPU, to the bare statements", f.ratio(serverToBare), 1.3)
	add("exporter CPU, to the bare read and the write", f.ratio(exporterToBare), 1.5)
	add("microseconds a series of a page of kept results", inMS(f.kept.median())*1000/float64(f.kept.series), 1)
	add("round trips of a warm scrape", float64(f.counted.turns), 4)
	add("wall p95 of warm scrapes one after the other, ms", inMS(quantile(f.wall, 0.95)), l.wall)
	add("wall p95 of paced scrapes, ms", inMS(quantile(f.pacedWall, 0.95)), l.wall)
	add("resident memory, MB", mb(f.rss), l.memory)
	add("sessions at once", float64(f.sessions), l.sessions)
	if l.openedMain {
		none("sessions opened on the main database", float64(f.openedMain))
	}
	if l.hour {
		onExporter, onBare := f.hour.perHour(ordinaryPace)
		add("server CPU of an hour, to the bare statements", float64(onExporter)/float64(onBare), 1.3)
		add("server CPU of an hour, % of one core", 100*float64(onExporter)/float64(time.Hour), 2)
		ratio, files := math.NaN(), math.NaN()
		if f.statements.measured {
			ratio, files = f.statements.ratio(), float64(f.statements.tempFiles)
		}
		add("server CPU of stat_statements, to a plain SELECT", ratio, 1.2)
		none("temporary files of stat_statements", files)
		none("temporary files of all", float64(f.tempFiles))
	}
	return list
}

// What is compared with what.
func serverToBare(t turn) (above, below time.Duration)    { return t.server, t.bareServer }
func serverToBatch(t turn) (above, below time.Duration)   { return t.server, t.batchServer }
func exporterToBare(t turn) (above, below time.Duration)  { return t.exporter, t.bareClient + t.write }
func exporterToBatch(t turn) (above, below time.Duration) { return t.exporter, t.batchClient + t.write }
