package pipelines

import "strings"

// reloads are the keys, and objects with all inside them, that a running pipeline takes over from a changed definition.
var reloads = []string{"decode.limits", "predictor.calibrate", "sink", "retry", "breaker", "log", "reload"}

// fixed is why other keys, and objects with all inside them, need a restart. The longest path that fits counts.
var fixed = []struct{ path, why string }{
	{"version", "the format of a definition is that of the program"},
	{"name", "it names the group, the metrics and the state of what runs"},
	{"ingest", "the place in the stream belongs to the source: another one begins elsewhere"},
	{"decode", "frames taken at another rate are no past for the ones before them"},
	{"encoder", "tokens of another model are no past for these, and results are named after it"},
	{"predictor", "the past that is kept, and the name in results, hang on it"},
	{"sink.kafka.delivery", "transactions and plain writes have different sources"},
	{"sink.kafka.transaction", "the source holds the transactions open"},
	{"state", "what is known of streams would have to move"},
	{"queues", "the channels between the stages have their size from the start"},
}

// marked writes into the fields which of them reload, and why the others do not.
func marked(fields []Field) []Field {
	for i, field := range fields {
		longest := 0
		for _, path := range reloads {
			if covers(path, field.Path) {
				fields[i].Reload, longest = true, len(path)
			}
		}
		for _, f := range fixed {
			if covers(f.path, field.Path) && len(f.path) > longest {
				fields[i].Reload, fields[i].Fixed, longest = false, f.why, len(f.path)
			}
		}
		if !fields[i].Reload && fields[i].Fixed == "" {
			fields[i].Fixed = "it is set up at the start"
		}
	}
	return fields
}

// covers says whether a path is another one, or holds it.
func covers(path, inner string) bool {
	rest, ok := strings.CutPrefix(inner, path)
	return ok && (rest == "" || rest[0] == '.')
}
