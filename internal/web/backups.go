package web

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-kit/log"

	"github.com/pgvigil/pgvigil/internal/backup"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// backups is the part of a page that tells of backups.
type backups struct {
	group   backup.Group
	outside *scrape.Outside
}

// openBackups begins to look at the sources of one page.
func (w Watch) openBackups(ctx context.Context, sources []config.Backup, logger log.Logger) *backups {
	if page := sources[0].Page; page != "" {
		logger = log.With(logger, "target", page)
	}
	var group backup.Group
	for _, s := range sources {
		group = append(group, backup.New(ctx, s.Config, logger))
	}
	return &backups{group: group, outside: scrape.NewWatched(ctx, group, scrape.OutsideOptions{
		Collectors: w.chosen(spec.Backup, config.Target{}), MaxSeries: w.MaxSeries, Logger: logger,
	})}
}

// Scrape returns what is known of the backups.
func (b *backups) Scrape(ctx context.Context, sel scrape.Selection) []page.Family {
	return b.outside.Scrape(ctx, sel)
}

// Close ends what looks at them.
func (b *backups) Close() {
	b.outside.Close()
	b.group.Close()
}

// noteArchived tells the sources of the last success of their server's archiver.
func (b *backups) noteArchived(a postgres.Archived) {
	segment, err := backup.ParseSegment(segmentOf(a.WAL))
	if err != nil {
		return // nothing yet, or a file that is no segment, such as a history
	}
	// What cannot be read is unknown, which is 0.
	system, _ := strconv.ParseUint(a.System, 10, 64)
	b.group.Archived(backup.Archived{Segment: segment, Time: a.Time, System: system})
}

// segmentOf is the segment that was archived when a file was. A backup's history
// file, 000000010000000000000002.00000028.backup, comes after the segment that the
// backup began in, whose name it begins with.
func segmentOf(file string) string {
	if name, rest, found := strings.Cut(file, "."); found && strings.HasSuffix(rest, ".backup") {
		return name
	}
	return file
}

// byPage groups sources by the page they are shown on, in the order of the file.
func byPage(sources []config.Backup) [][]config.Backup {
	var pages [][]config.Backup
	for _, s := range sources {
		i := slices.IndexFunc(pages, func(p []config.Backup) bool { return p[0].Page == s.Page })
		if i < 0 {
			pages = append(pages, []config.Backup{s})
			continue
		}
		pages[i] = append(pages[i], s)
	}
	return pages
}
