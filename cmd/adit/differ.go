package main

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"adit/internal/config"
)

// differing names the parts of two configurations that are not the same, in the
// words of the file and the order of its reference. What one part takes from
// another by its name, as a profile its pool, counts for the other alone. Of a
// secret nothing is told but that it, with its part, is another.
func differing(a, b *config.Config) []string {
	var all []string
	part := func(name string, a, b any) {
		if !same(reflect.ValueOf(a), reflect.ValueOf(b)) {
			all = append(all, name)
		}
	}
	part("host_name", a.HostName, b.HostName)
	part("vendor_name", a.VendorName, b.VendorName)
	part("state_dir", a.StateDir, b.StateDir)
	part("log.level", a.Log.Level, b.Log.Level)
	part("log.format", a.Log.Format, b.Log.Format)
	part("control", a.Control, b.Control)
	part("listen", a.Listen, b.Listen)
	part("limits", a.Limits, b.Limits)
	part("control_channel", a.ControlChannel, b.ControlChannel)
	part("pppd", a.PPPD, b.PPPD)
	part("tun", a.TUN, b.TUN)
	part("hooks", a.Hooks, b.Hooks)
	all = append(all, named("pools", a.Pools, b.Pools)...)
	all = append(all, named("dhcp", a.DHCP, b.DHCP)...)
	all = append(all, differingRADIUS(&a.RADIUS, &b.RADIUS)...)
	part("realms", a.Realms, b.Realms)
	all = append(all, named("profiles", a.Profiles, b.Profiles)...)
	part("users", owned(a.Users), owned(b.Users))
	part("lns.peers", owned(a.LNS.Peers), owned(b.LNS.Peers))
	part("lns.outgoing", a.LNS.Outgoing, b.LNS.Outgoing)
	part("lac.tunnels", a.LAC.Tunnels, b.LAC.Tunnels)
	return append(all, differingL2TPv3(a, b)...)
}

func differingRADIUS(a, b *config.RADIUS) []string {
	var all []string
	all = append(all, named("radius.servers", a.Servers, b.Servers)...)
	all = append(all, named("radius.groups", a.Groups, b.Groups)...)
	if !same(reflect.ValueOf(a.DynamicAuthClients), reflect.ValueOf(b.DynamicAuthClients)) {
		all = append(all, dynamicAuthClients)
	}
	if a.DynamicAuth != b.DynamicAuth {
		all = append(all, "radius.dynamic_authorization.listen")
	}
	one, other := *a, *b
	for _, r := range []*config.RADIUS{&one, &other} {
		r.Servers, r.Groups, r.DynamicAuthClients, r.DynamicAuth = nil, nil, nil, netip.AddrPort{}
	}
	if !same(reflect.ValueOf(one), reflect.ValueOf(other)) {
		all = append(all, "radius")
	}
	return all
}

// named compares the tables of one kind, each by its name.
func named[T any](kind string, a, b map[string]*T) []string {
	names := maps.Clone(a)
	if names == nil {
		names = make(map[string]*T)
	}
	maps.Copy(names, b)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a[name] == nil || b[name] == nil || !same(reflect.ValueOf(*a[name]), reflect.ValueOf(*b[name])) {
			all = append(all, kind+"."+name)
		}
	}
	return all
}

// owned is a list of what its part of the file itself describes.
func owned[T any](list []*T) []T {
	all := make([]T, len(list))
	for i, one := range list {
		all[i] = *one
	}
	return all
}

// elsewhere are the kinds that have a part of the file for themselves: others
// name them.
var elsewhere = []reflect.Type{
	reflect.TypeFor[config.Pool](), reflect.TypeFor[config.Profile](), reflect.TypeFor[config.DHCP](),
	reflect.TypeFor[config.RADIUSServer](), reflect.TypeFor[config.RADIUSGroup](), reflect.TypeFor[config.Peer](),
	reflect.TypeFor[config.Pseudowire](),
	reflect.TypeFor[config.Pseudowire](),
}

// same compares two values of one type.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		if slices.Contains(elsewhere, a.Type().Elem()) {
			return a.Elem().FieldByName("Name").Equal(b.Elem().FieldByName("Name"))
		}
		return same(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return false
		}
		return sameElements(a, b)
	case reflect.Array:
		return sameElements(a, b)
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, key := range a.MapKeys() {
			if v := b.MapIndex(key); !v.IsValid() || !same(a.MapIndex(key), v) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if a.Type().PkgPath() == reflect.TypeFor[netip.Addr]().PkgPath() {
			return a.Equal(b)
		}
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	default:
		return a.Equal(b)
	}
}

func sameElements(a, b reflect.Value) bool {
	for i := range a.Len() {
		if !same(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}
