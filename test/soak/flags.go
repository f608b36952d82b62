package main

import "github.com/pgvigil/pgvigil/internal/spec"

// flags switch all collectors on, bound what they show, and let them run as often
// as they may.
func flags(collectors []spec.Collector) []string {
	args := []string{"--governor.share=1"}
	bounded := map[string]bool{}
	for _, c := range collectors {
		if c.Of == "" && !c.Default {
			args = append(args, "--collector."+c.Name)
		}
		if c.Fold != nil && !bounded[c.Flag()] {
			bounded[c.Flag()] = true
			args = append(args, "--collector."+c.Flag()+".limit="+shownOfAFold)
		}
	}
	return args
}
