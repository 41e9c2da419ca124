package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ensue-video/ensue/stream"
)

// ExpandPaths is the files that paths name, each once: files as they are, globs and folders (not the folders in them) sorted by
// name, all in the order of paths. From folders it leaves out hidden files, unfinished downloads, and files whose extension says
// that they only accompany videos (.txt, .json, .srt …). All paths that match nothing are told at once (CodeNoMatch).
func ExpandPaths(paths []string) ([]string, error) {
	found, err := expand(paths, false)
	return found.files, err
}

// expanded is what paths name.
type expanded struct {
	files   []string
	folders []string // only where they are watched; then files has none of theirs
	skipped []string
}

func expand(paths []string, watch bool) (expanded, error) {
	e := expanding{watch: watch, seen: map[string]bool{}}
	for _, path := range paths {
		e.path(path)
	}
	if err := errors.Join(e.errs...); err != nil {
		return expanded{}, &stream.Failure{Code: CodeNoMatch, Stage: "ingest", Permanent: true, Err: err}
	}
	return e.expanded, nil
}

type expanding struct {
	expanded
	watch bool
	seen  map[string]bool
	errs  []error
}

func (e *expanding) path(path string) {
	if info, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		// What is there but cannot be looked at is told as that file's own problem, when it is opened.
		e.existing(path, err == nil && info.IsDir())
		return
	}
	if !strings.ContainsAny(path, `*?[`) {
		e.refuse(path, "no such file or folder")
		return
	}
	matches, err := filepath.Glob(path)               // sorted
	if !strings.HasPrefix(filepath.Base(path), ".") { // as a shell does
		matches = slices.DeleteFunc(matches, func(match string) bool { return strings.HasPrefix(filepath.Base(match), ".") })
	}
	switch {
	case err != nil:
		e.refuse(path, "it is no valid pattern: a [ needs its ]")
	case len(matches) == 0:
		e.refuse(path, "the pattern matches no file")
	}
	for _, match := range matches {
		info, err := os.Stat(match)
		e.existing(match, err == nil && info.IsDir())
	}
}

func (e *expanding) refuse(path, why string) {
	e.errs = append(e.errs, errors.New("ingest.files.paths: "+strconv.Quote(path)+": "+why))
}

func (e *expanding) existing(path string, folder bool) {
	if !folder {
		e.file(path)
		return
	}
	if e.watch {
		if e.first(path) {
			e.folders = append(e.folders, path)
		}
		return
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		e.refuse(path, "reading the folder: "+err.Error())
		return
	}
	before := len(e.files)
	for _, entry := range entries {
		file := filepath.Join(path, entry.Name())
		switch {
		case isFolder(file, entry) || isUnfinished(entry.Name()):
		case isCompanion(entry.Name()):
			e.skipped = append(e.skipped, file)
		default:
			e.file(file)
		}
	}
	if len(e.files) == before {
		e.refuse(path, "the folder holds no video file that is not already named")
	}
}

func (e *expanding) file(path string) {
	if e.first(path) {
		e.files = append(e.files, path)
	}
}

// first says whether a path, however written, is new.
func (e *expanding) first(path string) bool {
	key := absolute(path)
	if e.seen[key] {
		return false
	}
	e.seen[key] = true
	return true
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return filepath.Clean(path)
}

// isFolder follows links.
func isFolder(path string, entry os.DirEntry) bool {
	if entry.Type()&os.ModeSymlink == 0 {
		return entry.IsDir()
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isUnfinished says whether a name is one that programs give to files they still write.
func isUnfinished(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".tmp", ".part", ".partial", ".crdownload", ".download":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~")
}

// isCompanion says whether a file only accompanies videos, by its extension.
func isCompanion(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".log", ".html", ".pdf",
		".srt", ".vtt", ".ass", ".nfo", ".sha256", ".md5", ".jpg", ".jpeg", ".png", ".safetensors", ".npy", ".parquet":
		return true
	}
	return false
}

// StreamNames names the streams of files: the base name without its extension. Where several are the same, the first of them
// in this order keeps it and the others get "-2", "-3" and so on, past every name that another file has by itself:
// a/cam.mp4, a/cam.webm, a/cam-2.mp4 are cam, cam-3, cam-2.
func StreamNames(paths []string) []string {
	natural := map[string]bool{}
	for _, path := range paths {
		natural[baseName(path)] = true
	}
	used := map[string]bool{}
	names := make([]string, len(paths))
	for i, path := range paths {
		name := baseName(path)
		for n := 2; used[name]; n++ {
			if next := numbered(baseName(path), n); !natural[next] {
				name = next
			}
		}
		used[name] = true
		names[i] = name
	}
	return names
}

// naming gives names to files one by one, each different from all that are in use.
type naming struct{ used map[string]bool }

func newNaming(names []string) *naming {
	n := &naming{used: map[string]bool{}}
	for _, name := range names {
		n.used[name] = true
	}
	return n
}

func (n *naming) take(path string) string {
	name := baseName(path)
	for i := 2; n.used[name]; i++ {
		name = numbered(baseName(path), i)
	}
	n.used[name] = true
	return name
}

func (n *naming) release(name string) { delete(n.used, name) }

func numbered(name string, n int) string { return name + "-" + strconv.Itoa(n) }

// maxBaseName leaves room for a number within what the wire format allows for a name (255 bytes).
const maxBaseName = 240

// baseName is the file's base name without its extension, made fit to be the name of a stream.
func baseName(path string) string {
	base := filepath.Base(path)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	if name == "" {
		name = base
	}
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, name)
	for len(name) > maxBaseName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}
