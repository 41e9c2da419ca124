package pipelines

import (
	"embed"
	"path"
	"slices"
	"strings"
)

//go:embed stock/*.yaml
var stockFiles embed.FS

// Stock is the text of a stock definition.
func Stock(name string) ([]byte, bool) {
	if !slices.Contains(StockNames(), name) {
		return nil, false
	}
	data, err := stockFiles.ReadFile(path.Join("stock", name+".yaml"))
	return data, err == nil
}

// StockNames are the names that Stock knows, sorted.
func StockNames() []string {
	entries, err := stockFiles.ReadDir("stock")
	if err != nil {
		return nil // the folder is embedded, so it can be read
	}
	var names []string
	for _, entry := range entries {
		if name := strings.TrimSuffix(entry.Name(), ".yaml"); !strings.HasSuffix(entry.Name(), ExpectationsSuffix) {
			names = append(names, name)
		}
	}
	return names
}
