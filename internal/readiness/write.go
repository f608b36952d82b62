package readiness

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Colours of a terminal, by verdict.
var colours = map[Verdict]string{Pass: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[31m", Unknown: "\x1b[36m"}

const plain = "\x1b[0m"

// Text writes the report for a terminal, in colours if it can show them. Remedies are
// for what does not pass.
func (r Report) Text(w io.Writer, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s\n", r.Server, r.At.UTC().Format(time.RFC3339), r.Sum(""))
	for _, factor := range Factors() {
		fmt.Fprintf(&b, "\n%s: %s\n", factor.Title(), r.Sum(factor))
		for _, res := range r.Of(factor) {
			res.text(&b, colour)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Result) text(b *strings.Builder, colour bool) {
	word := strings.ToUpper(string(r.Verdict))
	if r.Accepted != "" {
		word = "OK'D"
	}
	word += strings.Repeat(" ", 8-utf8.RuneCountInString(word))
	if colour {
		word = colours[r.Counts()] + word + plain
	}
	fmt.Fprintf(b, "  %s%s %s\n", word, r.Question, r.Found())
	switch {
	case r.Accepted != "":
		fmt.Fprintf(b, "          accepted until %s: %s (%s)\n", r.Until, r.Accepted, r.Name)
	case r.Bad():
		fmt.Fprintf(b, "          %s\n          -> %s (%s)\n", r.Why, r.Remedy, r.Name)
	}
}

// Markdown writes the report as a document.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Readiness of %s\n\n%s: %s\n", escape(r.Server), r.At.UTC().Format(time.RFC3339), r.Sum(""))
	for _, factor := range Factors() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| Verdict | Question | Found | Remedy |\n| --- | --- | --- | --- |\n", factor.Title(), capital(r.Sum(factor)))
		for _, res := range r.Of(factor) {
			verdict, remedy := string(res.Verdict), ""
			switch {
			case res.Accepted != "":
				verdict = "accepted"
				remedy = fmt.Sprintf("until %s: %s", res.Until, res.Accepted)
			case res.Bad():
				remedy = res.Remedy
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", verdict, escape(res.Question), escape(res.Found()), escape(remedy))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON writes the report for programs.
func (r Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// escape keeps a text from being Markdown in a cell of a table.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`, "_", `\_`, "`", "'").Replace(text)
}

// capital makes the first letter large, unless it is that of a name of PostgreSQL's or
// the configuration's.
func capital(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if text == "" || strings.ContainsAny(strings.TrimRight(first, ".:"), "_.") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
