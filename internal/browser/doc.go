// Package browser is a headless Chromium for tests: what a page does in a real browser is asserted there, and seen.
//
// Start starts one and skips the test with a message where there is none: ENSUE_CHROMIUM names it, else the usual names are looked for.
// Open opens a page of a size, light or dark; the Page then holds everything that went wrong in it (errors on the console, exceptions,
// violations of its policy) and every address it asked for. Screenshots are kept in out/screenshots, or the folder ENSUE_SCREENSHOTS
// names.
package browser
