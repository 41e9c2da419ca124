package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
)

// storeFlags say where an object store is. Its keys are never flags: everybody on the machine could read them.
type storeFlags struct {
	store, endpoint, region string
	insecure                bool
}

func (s *storeFlags) add(f *pflag.FlagSet, doc string) {
	f.StringVar(&s.store, "store", "", doc+": s3://bucket/prefix or file:///folder")
	f.StringVar(&s.endpoint, "s3-endpoint", "", "object store of s3:// addresses, host:port; default: AWS_ENDPOINT_URL_S3 or "+
		"AWS_ENDPOINT_URL, else "+
		claim.DefaultS3().Endpoint)
	f.StringVar(&s.region, "s3-region", "", "region of the bucket; default: AWS_REGION, else what the store says")
	f.BoolVar(&s.insecure, "s3-insecure", false, "speak to the object store without TLS")
}

// open makes the store. The keys are those of the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, each
// also as NAME_FILE with the path of a file that holds it, or those of AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials).
func (a *app) openStore(flags storeFlags) (claim.Store, error) {
	place, err := claim.ParsePlace(flags.store)
	if err != nil {
		return nil, inputError("flags.value", fmt.Errorf("--store: %w", err),
			"as in --store s3://video/segments or --store file:///var/lib/ensue/claims")
	}
	config, err := a.s3Config(flags)
	if err != nil {
		return nil, err
	}
	store, err := claim.NewStore(place, config)
	if err != nil {
		return nil, inputError("flags.value", err, "see --store and --s3-endpoint")
	}
	return store, nil
}

func (a *app) s3Config(flags storeFlags) (claim.S3Config, error) {
	config := claim.DefaultS3()
	config.TLS = !flags.insecure
	config.Region = first(flags.region, a.variable("AWS_REGION"), a.variable("AWS_DEFAULT_REGION"))
	if flags.endpoint != "" {
		config.Endpoint = flags.endpoint
	} else if told := first(a.variable("AWS_ENDPOINT_URL_S3"), a.variable("AWS_ENDPOINT_URL")); told != "" {
		address, err := url.Parse(told)
		if err != nil || address.Host == "" {
			return config, inputError("flags.value", errors.New("AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is no URL"),
				"as in https://s3.example.com:8333")
		}
		config.Endpoint, config.TLS = address.Host, address.Scheme != "http"
	}
	for _, key := range []struct {
		name string
		set  func(string)
	}{
		{"AWS_ACCESS_KEY_ID", func(value string) { config.AccessKey = value }},
		{"AWS_SECRET_ACCESS_KEY", func(value string) { config.SecretKey = connect.Secret(value) }},
		{"AWS_SESSION_TOKEN", func(value string) { config.SessionToken = connect.Secret(value) }},
	} {
		value, err := a.secret(key.name)
		if err != nil {
			return config, err
		}
		key.set(value)
	}
	return config, nil
}

func (a *app) variable(name string) string {
	value, _ := a.env(name)
	return value
}

// secret is the variable, or the content of the file that NAME_FILE names.
func (a *app) secret(name string) (string, error) {
	if value := a.variable(name); value != "" {
		return value, nil
	}
	path := a.variable(name + "_FILE")
	if path == "" {
		return "", nil
	}
	value, err := readSecret(path)
	if err != nil {
		return "", inputError("flags.value", fmt.Errorf("reading %s_FILE: %w", name, err), "name a file that this user can read")
	}
	return value, nil
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// claimFlags say what goes into a store instead of onto the topic.
type claimFlags struct {
	storeFlags
	above string
}

func (c *claimFlags) add(f *pflag.FlagSet) {
	f.StringVar(&c.above, "claim-above", "", "put payloads larger than this into --store, and a claim onto the topic: 900KiB, 4MiB, …; "+
		"0B is all of them")
	c.storeFlags.add(f, "where payloads above --claim-above go")
}

// claimInto sets the store of a publisher, where one is asked for.
func (a *app) claimInto(flags claimFlags, config *publish.Config) error {
	switch {
	case flags.above == "" && flags.store == "":
		return nil
	case flags.store == "":
		return inputError("flags.value", fmt.Errorf("--claim-above %s has no --store beside it", flags.above),
			"say where large payloads go: --store s3://bucket/prefix")
	case flags.above == "":
		// What a topic takes unless told otherwise, less room for the headers.
		flags.above = "900KiB"
	}
	above, err := pipelines.ParseBytes(flags.above)
	if err != nil {
		return inputError("flags.value", fmt.Errorf("--claim-above %w", err), "as in --claim-above 4MiB")
	}
	config.ClaimAbove = above
	config.Store, err = a.openStore(flags.storeFlags)
	return err
}
