package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"

	"adit/internal/control"
)

// staticKey is a key of a [[l2tpv3.static]] block, or of its session, that is a flag
// too.
type staticKey struct {
	key     string
	session bool
	number  bool
	usage   string
}

func (k staticKey) flag() string { return strings.ReplaceAll(k.key, "_", "-") }

// staticKeys are those of one tunnel with one session.
var staticKeys = []staticKey{
	{"name", false, false, "`name` of the tunnel"},
	{"encapsulation", false, false, "`how` it travels: udp or ip (default udp)"},
	{"local", false, false, "`address` of this end, with a port for udp"},
	{"remote", false, false, "`address` of the other end, with a port for udp"},
	{"tunnel_id", false, true, "`ID` of the tunnel at this end"},
	{"peer_tunnel_id", false, true, "`ID` of the tunnel at the other end"},
	{"dataplane", false, false, "`plane`: auto, kernel or userspace (default auto)"},
	{"keepalive", false, false, "`time` between two echo requests, as 5s (default: none is sent)"},
	{"session_id", true, true, "`ID` of the session at this end"},
	{"peer_session_id", true, true, "`ID` of the session at the other end"},
	{"cookie", true, false, "8 or 16 hexadecimal `digits` that the peer sends; everybody may see the command line, so better --cookie-file"},
	{"cookie_file", true, false, "`file` with them"},
	{"peer_cookie", true, false, "the `digits` that are sent to the peer"},
	{"peer_cookie_file", true, false, "`file` with them"},
	{"type", true, false, "`type` of the pseudowire (default ethernet)"},
	{"interface", true, false, "`name` of the network device, with %d for a free number (default: the kernel's choice)"},
	{"mtu", true, true, "`octets` of its MTU (default 1500)"},
	{"bridge", true, false, "`name` of the bridge that it is a member of"},
	{"vlan", true, true, "802.1Q `tag` that frames to the peer get and those from it lose"},
	{"sequencing", true, false, "`which` data messages are numbered: none, non-ip or all (default none)"},
	{"sublayer", true, false, "`kind` of the L2-Specific Sublayer: none, default or atm (default: that of the type)"},
}

// flagProblem is what is wrong with a document of flags, told by the flag.
func flagProblem(p control.Problem) string {
	key := p.Key[strings.LastIndexByte(p.Key, '.')+1:]
	switch {
	case key == "":
		return p.Text
	case slices.ContainsFunc(staticKeys, func(k staticKey) bool { return k.key == key }):
		return "--" + strings.ReplaceAll(key, "_", "-") + ": " + p.Text
	}
	return key + ": " + p.Text + " (no flag says it: write the tunnel into a file, and add that with -f)"
}

// staticFlags is the document that the flags stand for; false: there are none. The
// error names each flag that is not the number that it should be.
func staticFlags(set *pflag.FlagSet) (document string, given bool, err error) {
	var wrong []string
	tunnel, session := map[string]any{}, map[string]any{}
	for _, k := range staticKeys {
		if !set.Changed(k.flag()) {
			continue
		}
		given = true
		into := tunnel
		if k.session {
			into = session
		}
		text := set.Lookup(k.flag()).Value.String()
		into[k.key] = text
		if k.number {
			n, notOne := strconv.ParseInt(text, 10, 64)
			if into[k.key] = n; notOne != nil {
				wrong = append(wrong, fmt.Sprintf("--%s is %q, which is not a whole number", k.flag(), text))
			}
		}
	}
	if len(wrong) > 0 {
		return "", true, errors.New(strings.Join(wrong, ", "))
	}
	if !given {
		return "", false, nil
	}
	tunnel["sessions"] = []map[string]any{session}
	var text bytes.Buffer
	err = toml.NewEncoder(&text).Encode(map[string]any{"l2tpv3": map[string]any{"static": []map[string]any{tunnel}}})
	return text.String(), true, err
}
