package claim

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// The schemes of claims.
const (
	SchemeS3   = "s3"
	SchemeFile = "file"
)

// bucketForm is S3's own rule for the names of buckets.
var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Ref is where a payload lies.
type Ref struct {
	// Scheme is SchemeS3 or SchemeFile.
	Scheme string
	// Bucket is empty for files.
	Bucket string
	// Key is the object's name in its bucket; of a file the absolute path, without the slash it begins with.
	Key string
}

// String is the address: s3://bucket/key or file:///path.
func (r Ref) String() string {
	address := url.URL{Scheme: r.Scheme, Host: r.Bucket, Path: "/" + r.Key}
	if r.Scheme == SchemeFile {
		return "file://" + address.EscapedPath()
	}
	return address.String()
}

// ParseRef reads an address. Invariant 1: it has a scheme, a bucket where the scheme has buckets, and a plain path; a host, a port,
// a user, a query or a path that climbs is refused.
func ParseRef(text string) (Ref, error) {
	address, err := url.Parse(text)
	if err != nil {
		return Ref{}, errors.New("it is no address")
	}
	ref := Ref{Scheme: address.Scheme, Key: strings.TrimPrefix(address.Path, "/")}
	switch {
	case address.User != nil:
		return Ref{}, errors.New("it names a user: credentials belong into the definition")
	case address.RawQuery != "" || address.ForceQuery || address.Fragment != "" || address.RawFragment != "":
		return Ref{}, errors.New("it has a query or a fragment")
	case address.Opaque != "":
		return Ref{}, errors.New("it has no path: write s3://bucket/key or file:///folder/file")
	}
	switch ref.Scheme {
	case SchemeS3:
		ref.Bucket = address.Host
		if !bucketForm.MatchString(ref.Bucket) || strings.Contains(ref.Bucket, "..") {
			return Ref{}, fmt.Errorf("%q is no name of a bucket", ref.Bucket)
		}
	case SchemeFile:
		if address.Host != "" && address.Host != "localhost" {
			return Ref{}, fmt.Errorf("it names the host %q: file:// addresses have three slashes", address.Host)
		}
	default:
		return Ref{}, fmt.Errorf("its scheme %q is neither %s nor %s", ref.Scheme, SchemeS3, SchemeFile)
	}
	return ref, checkKey(ref.Key)
}

// checkKey wants a plain relative path. S3 itself would allow more; nobody needs it, and file systems and proxies read it differently.
func checkKey(key string) error {
	if key == "" {
		return errors.New("it names no object")
	}
	if key != path.Clean(key) || key == ".." || strings.HasPrefix(key, "../") || strings.HasPrefix(key, "/") || key == "." {
		return errors.New(`its path has "..", "." or a double or trailing slash`)
	}
	for _, r := range key {
		if !unicode.IsPrint(r) || r == '\\' {
			return fmt.Errorf("its path has the character %U", r)
		}
	}
	return nil
}

// Place is where claims may lie: a bucket and a prefix, or a folder.
type Place struct {
	Scheme, Bucket string
	// Prefix is what keys begin with, without a slash at either end; empty for a whole bucket.
	Prefix string
}

// ParsePlace reads a place: s3://bucket, s3://bucket/prefix or file:///folder.
func ParsePlace(text string) (Place, error) {
	trimmed := strings.TrimRight(text, "/")
	if bucket, ok := strings.CutPrefix(trimmed, SchemeS3+"://"); ok && bucket != "" && !strings.Contains(bucket, "/") {
		// A whole bucket: a key makes a reference of it.
		ref, err := ParseRef(trimmed + "/key")
		if err != nil {
			return Place{}, fmt.Errorf("reading %q: %w", redact(text), err)
		}
		return Place{Scheme: ref.Scheme, Bucket: ref.Bucket}, nil
	}
	ref, err := ParseRef(trimmed)
	switch {
	case err != nil && strings.Trim(trimmed, "/") == SchemeFile+":":
		return Place{}, fmt.Errorf("reading %q: the root of the file system is no folder for claims: name one of its own", text)
	case err != nil:
		return Place{}, fmt.Errorf("reading %q: %w: write s3://bucket/prefix or file:///folder", redact(text), err)
	}
	return Place{Scheme: ref.Scheme, Bucket: ref.Bucket, Prefix: ref.Key}, nil
}

// redact takes a user and a password out of an address.
func redact(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	authority, tail, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		return scheme + "://…@" + authority[at+1:] + "/" + tail
	}
	return text
}

// String is the address of the place.
func (p Place) String() string {
	if p.Prefix == "" {
		return p.Scheme + "://" + p.Bucket
	}
	return Ref{Scheme: p.Scheme, Bucket: p.Bucket, Key: p.Prefix}.String()
}

// Holds says whether the reference lies in the place, and what the object is called there.
func (p Place) Holds(ref Ref) (key string, ok bool) {
	if ref.Scheme != p.Scheme || ref.Bucket != p.Bucket {
		return "", false
	}
	if p.Prefix == "" {
		return ref.Key, p.Scheme == SchemeS3
	}
	key, ok = strings.CutPrefix(ref.Key, p.Prefix+"/")
	return key, ok && key != ""
}

// ref is the address of an object of the place.
func (p Place) ref(key string) Ref {
	return Ref{Scheme: p.Scheme, Bucket: p.Bucket, Key: strings.TrimPrefix(p.Prefix+"/"+key, "/")}
}
