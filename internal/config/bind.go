package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A raw struct mirrors a table of the file. Its fields are pointers to string,
// int64, bool, time.Duration or any, which is a value that the checker looks at
// itself (nil: the key is not there), []string, []int64, []T and
// map[string]T of further raw structs, raw structs, and embedded raw structs
// whose keys stand in the same table. The tag `toml` names the key.
//
// bind fills one from a decoded table. The TOML decoder's own filling of
// structs stops at the first value of a wrong type and reports unknown keys of
// arrays without saying in which element; bind goes on, and says it.
func (c *collector) bind(path string, table map[string]any, raw reflect.Value) {
	fields := map[string]reflect.Value{}
	rawFields(raw, fields)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		at := joinKey(path, key)
		field, ok := fields[key]
		if !ok {
			c.add(at, "unknown key; %s", knownKeys(key, slices.Sorted(maps.Keys(fields))))
			continue
		}
		c.bindValue(at, table[key], field)
	}
}

func rawFields(raw reflect.Value, into map[string]reflect.Value) {
	for i := range raw.NumField() {
		field := raw.Type().Field(i)
		if field.Anonymous {
			rawFields(raw.Field(i), into)
			continue
		}
		into[field.Tag.Get("toml")] = raw.Field(i)
	}
}

func (c *collector) bindValue(at string, value any, field reflect.Value) {
	switch field.Kind() {
	case reflect.Pointer:
		c.bindScalar(at, value, field)
	case reflect.Struct:
		if table, ok := value.(map[string]any); ok {
			c.bind(at, table, field)
			return
		}
		c.wrongType(at, value, "a table")
	case reflect.Map:
		c.bindMap(at, value, field)
	case reflect.Slice:
		if field.Type().Elem().Kind() == reflect.String {
			c.bindStrings(at, value, field)
			return
		}
		if field.Type().Elem().Kind() == reflect.Int64 {
			c.bindNumbers(at, value, field)
			return
		}
		c.bindTables(at, value, field)
	default:
		panic("config: raw structs hold no " + field.Type().String())
	}
}

func (c *collector) bindScalar(at string, value any, field reflect.Value) {
	target := reflect.New(field.Type().Elem())
	switch p := target.Interface().(type) {
	case *time.Duration:
		d, ok := c.parseDuration(at, value)
		if !ok {
			return
		}
		*p = d
	case *string:
		s, ok := value.(string)
		if !ok {
			c.wrongType(at, value, `a string, in quotes`)
			return
		}
		*p = s
	case *int64:
		n, ok := value.(int64)
		if !ok {
			c.wrongType(at, value, "a whole number, without quotes")
			return
		}
		*p = n
	case *bool:
		b, ok := value.(bool)
		if !ok {
			c.wrongType(at, value, "true or false, without quotes")
			return
		}
		*p = b
	case *any:
		*p = value
	default:
		panic("config: raw structs hold no " + field.Type().String())
	}
	field.Set(target)
}

// parseDuration reads "1.5s", "200ms", "2m". A bare number has no unit, and one
// that we would choose is a guess; so it is refused.
func (c *collector) parseDuration(at string, value any) (time.Duration, bool) {
	s, ok := value.(string)
	if !ok {
		if n, isInt := value.(int64); isInt {
			c.add(at, `%d has no unit; write "%ds" for seconds or "%dms" for milliseconds`, n, n, n)
			return 0, false
		}
		c.wrongType(at, value, `a time with its unit in quotes, such as "60s"`)
		return 0, false
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		c.add(at, `%q is not a time; write a number and its unit: "200ms", "60s", "5m" or "1h"`, s)
		return 0, false
	case d < 0:
		c.add(at, "%q is negative; write a time of zero or more", s)
		return 0, false
	}
	return d, true
}

func (c *collector) bindStrings(at string, value any, field reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		c.wrongType(at, value, `a list of strings: ["...", "..."]`)
		return
	}
	strs := make([]string, 0, len(list))
	for i, element := range list {
		s, ok := element.(string)
		if !ok {
			c.wrongType(joinIndex(at, i), element, "a string, in quotes")
		}
		strs = append(strs, s) // a wrong one too: the others keep their index
	}
	field.Set(reflect.ValueOf(strs))
}

func (c *collector) bindNumbers(at string, value any, field reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		c.wrongType(at, value, "a list of whole numbers: [2, 3]")
		return
	}
	numbers := make([]int64, 0, len(list))
	for i, element := range list {
		n, ok := element.(int64)
		if !ok {
			c.wrongType(joinIndex(at, i), element, "a whole number, without quotes")
		}
		numbers = append(numbers, n) // a wrong one too: the others keep their index
	}
	field.Set(reflect.ValueOf(numbers))
}

func (c *collector) bindTables(at string, value any, field reflect.Value) {
	tables, ok := asTables(value)
	if !ok {
		c.wrongType(at, value, fmt.Sprintf("a list of tables, each under its own [[%s]]", withoutIndexes(at)))
		return
	}
	slice := reflect.MakeSlice(field.Type(), len(tables), len(tables))
	for i, table := range tables {
		c.bind(joinIndex(at, i), table, slice.Index(i))
	}
	field.Set(slice)
}

// asTables takes both ways to write an array of tables, [[a]] and a = [{}].
func asTables(value any) ([]map[string]any, bool) {
	switch list := value.(type) {
	case []map[string]any:
		return list, true
	case []any:
		tables := make([]map[string]any, len(list))
		for i, element := range list {
			table, ok := element.(map[string]any)
			if !ok {
				return nil, false
			}
			tables[i] = table
		}
		return tables, true
	}
	return nil, false
}

func (c *collector) bindMap(at string, value any, field reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		c.wrongType(at, value, fmt.Sprintf("a table for each, under [%s.NAME]", at))
		return
	}
	filled := reflect.MakeMap(field.Type())
	for _, name := range slices.Sorted(maps.Keys(table)) {
		entry := reflect.New(field.Type().Elem()).Elem()
		inner, ok := table[name].(map[string]any)
		if !ok {
			c.wrongType(joinKey(at, name), table[name], fmt.Sprintf("a table: [%s]", joinKey(at, name)))
			continue
		}
		c.bind(joinKey(at, name), inner, entry)
		filled.SetMapIndex(reflect.ValueOf(name), entry)
	}
	field.Set(filled)
}

func (c *collector) wrongType(at string, value any, want string) {
	c.add(at, "is %s; write %s", typeName(value), want)
}

func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "something else"
}

// withoutIndexes is a path as a table header shows it.
func withoutIndexes(path string) string {
	for {
		open := strings.IndexByte(path, '[')
		if open < 0 {
			return path
		}
		end := strings.IndexByte(path[open:], ']')
		if end < 0 {
			return path
		}
		path = path[:open] + path[open+end+1:]
	}
}

// knownKeys says what may have been meant.
func knownKeys(key string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(key, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "the keys here are " + strings.Join(known, ", ")
}

// editDistance counts the octets to insert, delete or replace, up to the
// lengths that matter for a key.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
