package pppbridge

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"
	"unsafe"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
	"adit/proto/ppp"
)

// A built-in session on the shared TUN has to be small: these, the endpoint, and
// two closures are all that it has here.
func TestTUNSessionIsSmall(t *testing.T) {
	sizes := map[string]uintptr{
		"builtin": unsafe.Sizeof(builtin{}), "subject": unsafe.Sizeof(subject{}), "known": unsafe.Sizeof(known{}),
		"tunLink": unsafe.Sizeof(tunLink{}), "linkNetwork": unsafe.Sizeof(linkNetwork{}),
	}
	total := uintptr(0)
	for name, n := range sizes {
		t.Logf("%s: %d octets", name, n)
		total += n
	}
	t.Logf("in all %d octets; ppp.Endpoint %d, Spec %d, Burst's packets %d", total,
		unsafe.Sizeof(ppp.Endpoint{}), unsafe.Sizeof(Spec{}), unsafe.Sizeof(circuit.Packets{}))
	if total >= 600 {
		t.Errorf("%d octets", total)
	}
}

// An interface for each session, with its addresses and routes, and nothing of
// it left at the end. It is made by a worker, so the whole process has to be in
// the namespace.
func TestTUNOwnInterface(t *testing.T) {
	self := wholeNamespace(t)
	if self == nil {
		return
	}
	links, err := kernel.OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	r := &rig{lnsNS: self, clientNS: newNamespace(t), lns: newTestFactory(t, Config{}), client: newTestFactory(t, Config{})}
	r.lnsW, r.clientW = newWires(t)
	r.openTUN(t, r.clientNS, r.client, TUNConfig{Name: "cli0", MTU: 1400})
	var ends [2][2]*session
	var accesses [2]tellingAccess
	for i := range ends {
		accesses[i].password = "secret"
		id := uint32(i + 1)
		grant := grantOf(byte(10 + i))
		ends[i][0] = openEnd(t, r.lns, r.lnsW, id, Spec{
			LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: &accesses[i], Interface: "sub%d", MTU: 1380,
		})
		ends[i][1] = openEnd(t, r.client, r.clientW, id, Spec{Endpoint: clientConfig(fmt.Sprint("user", i), "secret")})
	}
	for i, e := range ends {
		waitFor(t, 10*time.Second, "PPP", func() bool { return e[0].Info().PeerIP.IsValid() && e[0].Info().PeerIPv6.IsValid() }, e[0].log, e[1].log)
		waitFor(t, 10*time.Second, "the interface", func() bool { return e[0].Info().Interface != "" && e[1].Info().LocalIP.IsValid() }, e[0].log)
		waitFor(t, 5*time.Second, "the addresses", func() bool {
			return self.hasAddress("10.9.0.1") && r.clientNS.hasAddress(fmt.Sprintf("10.9.0.%d", 10+i))
		})
		ping(t, self, fmt.Sprintf("10.9.0.%d", 10+i), e[0], e[1])
		// The client's link-local address is answered by its endpoint.
		ping(t, self, e[0].Info().PeerIPv6.String()+"%"+e[0].Info().Interface, e[0], e[1])
		waitFor(t, 5*time.Second, "Access to be told", func() bool { return len(accesses[i].told()) == 2 }, e[0].log)
		if at := accesses[i].attached; at[0].Interface != e[0].Info().Interface || at[1].Interface != at[0].Interface || at[0].Send != nil || at[1].Send != nil {
			t.Errorf("attached by %+v", at)
		}
		iface, err := net.InterfaceByName(e[0].Info().Interface)
		if err != nil || iface.MTU != 1380 {
			t.Errorf("%+v %v", iface, err)
		}
	}
	a, b := ends[0][0].Info().Interface, ends[1][0].Info().Interface
	if a == b || a[:3] != "sub" {
		t.Errorf("interfaces %q and %q", a, b)
	}
	for _, e := range ends {
		e[0].end(t)
		e[1].wait(t)
	}
	for _, name := range []string{a, b} {
		if _, err := links.Index(name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

// A message to the peer that a route leads into its own session is dropped and counted;
// what is like it and is none goes on.
func TestOwnMessagesIntoTheTUN(t *testing.T) {
	d := newDataPath(t, Spec{})
	own := datagram4("192.0.2.1", "10.9.0.2", 1701, 1701, []byte("a message"))
	d.out.own = bytes.Clone(own)
	other := datagram4("192.0.2.1", "10.9.0.2", 1701, 1701, []byte("another one"))
	for _, packet := range [][]byte{own, other, own} {
		d.reader.packet(time.Now(), d.queue, ip.GSO{}, packet)
	}
	if st := d.link.Stats(); st.DropLoop != 2 || st.FramesOut != 1 || d.out.count != 1 {
		t.Errorf("%+v, %d messages", st, d.out.count)
	}
}
