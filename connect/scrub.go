package connect

import "regexp"

// credentials are "user:password@", with or without the scheme of a URL before them.
var credentials = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.\-]*://)\S*@|[^\s/:@]+:\S*@`)

// Scrub takes the credentials of URLs and addresses out of a text that is to be printed: people write them where no place is for them.
func Scrub(text string) string { return credentials.ReplaceAllString(text, "${1}***@") }
