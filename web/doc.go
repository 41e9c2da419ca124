// Package web is the live page of a running pipeline: what a person sees of it in a browser.
//
//   - Config is the definition's `serve`: where to listen, and the token that opens the page.
//   - Server is the HTTP server; it is a pipelines.Observer. Listen binds, Serve serves until its context ends, Handle adds routes of
//     others (health, metrics) to the same listener.
//
// The browser gets everything by server-sent events: the whole state once, then every half second what has changed. Frames are fetched
// one by one, and made only while somebody looks at their stream.
//
// What it keeps to:
//
//  1. It never makes the pipeline wait: an observer's call takes a lock for as long as it takes to append to a list, pictures are made
//     by the server's own goroutines, and what they cannot keep up with is left out.
//  2. Memory is bounded: streams, points of a timeline, alarms, dead letters, pictures and clients each have a limit.
//  3. A client that reads too slowly loses what it has not read and gets the whole latest state instead; it delays nobody.
//  4. Nobody without the token sees anything but the page that asks for it, and without a token nobody but this machine is listened to,
//     under no other name than its own (which also keeps out pages that rebind their name to it).
//  5. What changes something needs a header that no other site's page can send, and a request from this origin.
//  6. Names and messages are somebody else's text: the page is built by textContent alone, under a policy without inline code.
package web
