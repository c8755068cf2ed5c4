package config

import (
	"fmt"
	"strconv"
	"strings"
)

// lineIndex says on which line a key stands, from 1. Keys are written as in
// joinKey and joinIndex: lns.peers[0].secret.
type lineIndex map[string]int

// find is the line of a key, or of the nearest table around it if the key is
// not in the file; 0 if not even that is.
func (x lineIndex) find(key string) int {
	for key != "" {
		if line, ok := x[key]; ok {
			return line
		}
		key = parentKey(key)
	}
	return 0
}

// joinKey appends a key to a path, in quotes if TOML would need them.
func joinKey(path, key string) string {
	if !isBareKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func joinIndex(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parentKey cuts the last key or index off a path.
func parentKey(path string) string {
	if path[len(path)-1] == '"' {
		// A quoted key: it begins at the last quote that no backslash precedes
		// and that stands at the start or after a dot.
		for i := len(path) - 2; i >= 0; i-- {
			if path[i] != '"' {
				continue
			}
			if i == 0 {
				return ""
			}
			if path[i-1] == '.' {
				return path[:i-1]
			}
		}
		return ""
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

func isBareKey(key string) bool {
	for _, r := range key {
		if !isBareRune(r) {
			return false
		}
	}
	return key != ""
}

func isBareRune(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}
