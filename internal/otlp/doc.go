// Package otlp is, for tests, a collector that takes traces by OTLP over HTTP and keeps them.
package otlp
