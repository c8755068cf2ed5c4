package scenario

import (
	"context"
	"crypto/md5"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3162"
)

// RADIUSUser is somebody whom a RADIUS responder lets in.
type RADIUSUser struct {
	Password string
	// Address is the Framed-IP-Address; the zero Addr: the LNS chooses.
	Address netip.Addr
	// Routes are Framed-IPv6-Routes.
	Routes []netip.Prefix
}

// RADIUSResponder answers Access-Requests with PAP or CHAP from a list of users,
// and every accounting request.
type RADIUSResponder struct {
	// Address of the one for authentication; accounting is at the next port.
	Address netip.AddrPort

	users map[string]RADIUSUser

	mu                 sync.Mutex
	accepted, rejected int
}

// RADIUS starts a responder in a namespace, at an address of it.
func RADIUS(t TB, ns *NS, at netip.AddrPort, secret string, users map[string]RADIUSUser) *RADIUSResponder {
	t.Helper()
	r := &RADIUSResponder{Address: at, users: users}
	for port, handler := range map[uint16]radius.HandlerFunc{at.Port(): r.access, at.Port() + 1: account} {
		var conn net.PacketConn
		err := ns.Do(func() (err error) {
			conn, err = net.ListenPacket("udp", netip.AddrPortFrom(at.Addr(), port).String())
			return err
		})
		if err != nil {
			t.Fatalf("RADIUS: %v", err)
		}
		server := &radius.PacketServer{SecretSource: radius.StaticSecretSource([]byte(secret)), Handler: handler}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(conn) }()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				t.Errorf("RADIUS: %v", err)
			}
			if err := <-ended; err != nil && !errors.Is(err, radius.ErrServerShutdown) {
				t.Errorf("RADIUS: %v", err)
			}
		})
	}
	return r
}

// Counts are how many were let in and how many were not.
func (r *RADIUSResponder) Counts() (accepted, rejected int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted, r.rejected
}

func (r *RADIUSResponder) String() string {
	accepted, rejected := r.Counts()
	return fmt.Sprintf("RADIUS at %s: %d accepted, %d rejected", r.Address, accepted, rejected)
}

func (r *RADIUSResponder) access(w radius.ResponseWriter, request *radius.Request) {
	user, known := r.users[rfc2865.UserName_GetString(request.Packet)]
	ok := known && knows(request.Packet, user.Password)
	r.mu.Lock()
	if ok {
		r.accepted++
	} else {
		r.rejected++
	}
	r.mu.Unlock()
	if !ok {
		_ = w.Write(request.Response(radius.CodeAccessReject)) // it asks again
		return
	}
	answer := request.Response(radius.CodeAccessAccept)
	err := errors.Join(
		rfc2865.ServiceType_Set(answer, rfc2865.ServiceType_Value_FramedUser),
		rfc2865.FramedProtocol_Set(answer, rfc2865.FramedProtocol_Value_PPP))
	if user.Address.IsValid() {
		err = errors.Join(err, rfc2865.FramedIPAddress_Set(answer, user.Address.AsSlice()))
	}
	for _, route := range user.Routes {
		err = errors.Join(err, rfc3162.FramedIPv6Route_AddString(answer, route.String()))
	}
	if err == nil {
		_ = w.Write(answer)
	}
}

// knows says whether a request shows the password, by PAP or by CHAP.
func knows(request *radius.Packet, password string) bool {
	if given := rfc2865.UserPassword_Get(request); given != nil {
		return subtle.ConstantTimeCompare(given, []byte(password)) == 1
	}
	// RFC 2865 section 5.3: "The CHAP challenge value is found in the
	// CHAP-Challenge Attribute (60) if present in the packet, otherwise in the
	// Request Authenticator field."
	chap := rfc2865.CHAPPassword_Get(request)
	if len(chap) != 1+md5.Size { // CHAP Ident and String
		return false
	}
	challenge := rfc2865.CHAPChallenge_Get(request)
	if challenge == nil {
		challenge = request.Authenticator[:]
	}
	h := md5.New()
	h.Write(chap[:1])
	h.Write([]byte(password))
	h.Write(challenge)
	return subtle.ConstantTimeCompare(h.Sum(nil), chap[1:]) == 1
}

func account(w radius.ResponseWriter, request *radius.Request) {
	_ = w.Write(request.Response(radius.CodeAccountingResponse))
}
