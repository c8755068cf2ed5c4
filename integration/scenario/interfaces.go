package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Interface is a network interface as ip -j addr shows it.
type Interface struct {
	Name  string
	Index int
	MTU   int
	Up    bool
	Addrs []InterfaceAddr
}

// InterfaceAddr is one address. Peer is valid on point-to-point interfaces.
type InterfaceAddr struct {
	Local netip.Prefix
	Peer  netip.Addr
	// LinkLocal says that the address is of IPv6 link scope.
	LinkLocal bool
}

// IPv4 is the first IPv4 address and its peer; invalid if there is none.
func (i Interface) IPv4() (local, peer netip.Addr) {
	for _, a := range i.Addrs {
		if a.Local.Addr().Is4() {
			return a.Local.Addr(), a.Peer
		}
	}
	return
}

// Interfaces lists the interfaces of the namespace whose names begin with
// prefix, sorted by name: "ppp" for PPP, "" for all.
func (ns *NS) Interfaces(t TB, prefix string) []Interface {
	t.Helper()
	var all []Interface
	var err error
	// When an interface vanishes while it looks, ip complains: ask again.
	for range 10 {
		var out string
		if out, err = ns.Run("ip", "-j", "addr"); err == nil {
			if all, err = parseInterfaces([]byte(out)); err == nil {
				break
			}
		}
	}
	if err != nil {
		t.Fatalf("ip -j addr in %s: %v", ns.Name, err)
	}
	all = slices.DeleteFunc(all, func(i Interface) bool { return !strings.HasPrefix(i.Name, prefix) })
	slices.SortFunc(all, func(a, b Interface) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// PPP waits for count PPP interfaces that are up and have an IPv4 address.
func (ns *NS) PPP(t TB, timeout time.Duration, count int) []Interface {
	t.Helper()
	var up []Interface
	WaitFor(t, timeout, fmt.Sprintf("%d PPP interfaces with an address in %s", count, ns.Name), func() bool {
		up = slices.DeleteFunc(ns.Interfaces(t, "ppp"), func(i Interface) bool {
			local, _ := i.IPv4()
			return !i.Up || !local.IsValid()
		})
		return len(up) == count
	})
	return up
}

func parseInterfaces(text []byte) ([]Interface, error) {
	var raw []struct {
		IfIndex  int      `json:"ifindex"`
		IfName   string   `json:"ifname"`
		Flags    []string `json:"flags"`
		MTU      int      `json:"mtu"`
		AddrInfo []struct {
			Local     string `json:"local"`
			Address   string `json:"address"` // the peer's
			PrefixLen int    `json:"prefixlen"`
			Scope     string `json:"scope"`
			Family    string `json:"family"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	var all []Interface
	for _, r := range raw {
		if r.IfName == "" {
			continue // ip prints {} for what vanished meanwhile
		}
		i := Interface{Name: r.IfName, Index: r.IfIndex, MTU: r.MTU, Up: slices.Contains(r.Flags, "UP")}
		for _, a := range r.AddrInfo {
			local, err := netip.ParseAddr(a.Local)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.IfName, err)
			}
			addr := InterfaceAddr{Local: netip.PrefixFrom(local, a.PrefixLen), LinkLocal: a.Family == "inet6" && a.Scope == "link"}
			if a.Address != "" {
				if addr.Peer, err = netip.ParseAddr(a.Address); err != nil {
					return nil, fmt.Errorf("%s: %w", r.IfName, err)
				}
			}
			i.Addrs = append(i.Addrs, addr)
		}
		all = append(all, i)
	}
	return all, nil
}
