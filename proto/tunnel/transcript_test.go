package tunnel

import (
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
)

var update = flag.Bool("update", false, "write what the transcripts yield into testdata")

// TestTranscripts runs the conversations in testdata: each block is some
// commands, a line "----" and what they have to yield, and an empty line. Lines
// that begin with # are comments. A command is a word, then values; Name=value
// sets a field of the message, the call or the configuration at hand.
//
//	config F=V..           begin anew with this configuration
//	config3 F=V..          the same, of version 3
//	speak VERSION          of the peer, until the next dial or accept
//	dial                   a tunnel of ours
//	accept F=V..           a tunnel for the peer's SCCRQ
//	recv SESSION TYPE F=V  a message from the peer; SESSION is the header's
//	raw SESSION HEX        the same, with AVPs as they are
//	again TYPE F=V..       an SCCRQ or StopCCN with tunnel ID 0 and Ns 0
//	ack                    a ZLB from the peer
//	place DIR REF F=V..    PlaceCall
//	accept-call ID REF F=V.. / connect-call ID F=V.. / reject-call ID RESULT
//	close-call ID RESULT   CloseCall
//	sli ID SEND RECV, wen ID F=V.., status ID STATUS
//	stop RESULT, lose
//	data                   a data message from the peer
//	wait DURATION          time passes, with a Tick at every deadline
//	state                  prints the state, the calls and the next deadline
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runTranscript(t, file) })
	}
}

func runTranscript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, cfg: testConfig()}
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			i++
			continue
		}
		start := i
		var got []string
		for ; i < len(lines) && lines[i] != "" && lines[i] != "----"; i++ {
			out.WriteString(lines[i] + "\n")
			got = append(got, s.command(lines[i])...)
		}
		var want []string
		if i < len(lines) && lines[i] == "----" {
			for i++; i < len(lines) && lines[i] != ""; i++ {
				want = append(want, lines[i])
			}
		}
		out.WriteString("----\n")
		for _, line := range got {
			out.WriteString(line + "\n")
		}
		if !*update && strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:%d: %s\ngot:\n%s\nwant:\n%s", file, start+1, lines[start],
				strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// script is the state of a transcript.
type script struct {
	t         *testing.T
	cfg       Config
	p         *peer
	challenge []byte // the last that the tunnel sent
	speak     uint8  // version of the next peer; 0: that of the tunnel
}

// command runs one command and returns what it yields, line by line.
func (s *script) command(line string) []string {
	words := splitWords(line)
	name, args := words[0], words[1:]
	arg := func(i int) string {
		if i >= len(args) {
			s.t.Fatalf("%q: too few words", line)
		}
		return args[i]
	}
	id := func(i int) uint32 {
		n, err := strconv.ParseUint(arg(i), 0, 32)
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		return uint32(n)
	}
	switch name {
	case "config":
		s.cfg = testConfig()
		s.set(&s.cfg, args)
		return nil
	case "config3":
		s.cfg = testConfig3()
		s.set(&s.cfg, args)
		return nil
	case "speak":
		s.speak = uint8(id(0))
		if s.p != nil {
			s.p.version = s.speak
		}
		return nil
	case "dial":
		s.p = dial(s.t, s.cfg)
		s.speak = 0
	case "accept":
		s.p = newPeer(s.t, s.cfg)
		if s.speak != 0 {
			s.p.version, s.speak = s.speak, 0
		}
		m := theirSCCRQ()
		s.set(m, args)
		core, actions, err := AcceptPacket(s.p.now, s.cfg, s.p.event(0, m))
		if err != nil {
			return []string{"error " + err.Error()}
		}
		s.p.tunnel, s.p.to = core, s.cfg.LocalID
		s.p.take(actions)
	case "recv":
		s.p.send(id(0), s.message(arg(1), args[2:]))
	case "raw":
		payload, err := hex.DecodeString(strings.Join(args[1:], ""))
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		s.p.sendRaw(id(0), payload)
	case "again":
		payload, err := l2tp.AppendMessage(nil, s.message(arg(0), args[1:]), l2tp.AppendOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		h, _, _ := l2tp.ParseHeader(l2tp.AppendControl(nil, 0, 0, 0, 0, payload))
		s.p.step(Receive{Header: h, Payload: payload})
	case "ack":
		s.p.ack()
	case "data":
		s.p.tunnel.DataReceived(s.p.now)
		return nil
	case "wait":
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		return s.wait(d)
	case "state":
		return s.state()
	default:
		s.p.step(s.event(name, arg, id, args))
	}
	return s.yield()
}

// event makes the events of the owner.
func (s *script) event(name string, arg func(int) string, id func(int) uint32, args []string) Event {
	var call Call
	switch name {
	case "place":
		if arg(0) == "outgoing" {
			call.Direction = Outgoing
		}
		s.set(&call, args[2:])
		return PlaceCall{Ref: arg(1), Call: call}
	case "accept-call":
		ev := AcceptCall{Session: id(0), Ref: arg(1)}
		if len(args) > 2 && args[2] == "connected" {
			ev.Connected = true
			args = args[1:]
		}
		s.set(&call, args[2:])
		ev.Call = call
		return ev
	case "connect-call":
		s.set(&call, args[1:])
		return ConnectCall{Session: id(0), Call: call}
	case "reject-call":
		return RejectCall{Session: id(0), Cause: Cause{Result: parseResult(s.t, arg(1))}}
	case "close-call":
		return CloseCall{Session: id(0), Cause: Cause{Result: parseResult(s.t, arg(1))}}
	case "sli":
		return SetLinkInfo{Session: id(0), SendACCM: uint32(id(1)), RecvACCM: uint32(id(2))}
	case "status":
		return SetCircuitStatus{Session: id(0), Status: l2tp.CircuitStatus(id(1))}
	case "wen":
		ev := ReportWANErrors{Session: id(0)}
		s.set(&ev.Errors, args[1:])
		return ev
	case "stop":
		return Stop{Cause: Cause{Result: parseResult(s.t, arg(0))}}
	case "lose":
		return Lose{}
	}
	s.t.Fatalf("no command %q", name)
	return nil
}

func (s *script) message(name string, fields []string) l2tp.Message {
	for _, typ := range allTypes {
		if typ.String() == name {
			m := message(typ)
			s.set(m, fields)
			return m
		}
	}
	s.t.Fatalf("no message %q", name)
	return nil
}

// yield describes what the last step did.
func (s *script) yield() []string {
	var lines []string
	for _, a := range s.p.actions {
		if _, bare := a.(Drop); bare {
			lines = append(lines, "Drop "+a.(Drop).Reason.Error())
			continue
		}
		lines = append(lines, describe(a))
	}
	for _, m := range s.p.sent {
		switch m := m.Message.(type) {
		case *l2tp.SCCRQ:
			s.challenge = m.Challenge
		case *l2tp.SCCRP:
			s.challenge = m.Challenge
		}
		lines = append(lines, "-> "+m.String())
	}
	return lines
}

// wait describes what comes in the meantime, with the time of each.
func (s *script) wait(d time.Duration) []string {
	end := s.p.now.Add(d)
	var lines []string
	for {
		next := s.p.tunnel.Deadline()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.Before(s.p.now) {
			next = s.p.now
		}
		s.p.wait(next.Sub(s.p.now))
		for _, line := range s.yield() {
			lines = append(lines, fmt.Sprintf("%v %s", s.p.now.Sub(epoch), line))
		}
	}
	s.p.now = end
	return lines
}

func (s *script) state() []string {
	t := s.p.tunnel
	line := "state " + t.State().String()
	if d := t.Deadline(); !d.IsZero() {
		line += " until " + d.Sub(epoch).String()
	}
	peer := t.Peer()
	if peer.Version == l2tp.Version {
		peer.Version = 0 // it goes without saying
	}
	lines := []string{line, "peer" + strings.TrimPrefix(describe(peer), "PeerInfo")}
	for _, id := range slices.Sorted(maps.Keys(t.sessions)) {
		c, _ := t.Session(id)
		c.Since = time.Time{}
		lines = append(lines, describe(c))
	}
	return lines
}

// set sets fields by Name=value.
func (s *script) set(to any, fields []string) {
	s.t.Helper()
	r := reflect.ValueOf(to).Elem()
	for _, field := range fields {
		name, value, ok := strings.Cut(field, "=")
		f := r.FieldByName(name)
		if !ok || !f.IsValid() {
			s.t.Fatalf("%T has no field for %q", to, field)
		}
		if name == "ChallengeResponse" {
			s.setResponse(to.(l2tp.Message), f, value)
			continue
		}
		s.setField(f, value)
	}
}

// setResponse sets a Challenge Response: "right" to the tunnel's last challenge,
// or "wrong".
func (s *script) setResponse(m l2tp.Message, f reflect.Value, value string) {
	response := l2tp.ChallengeResponse(m.Type(), s.cfg.Secret, s.challenge)
	if value == "wrong" {
		response[15] ^= 1
	}
	f.SetBytes(response[:])
}

func (s *script) setField(f reflect.Value, value string) {
	s.t.Helper()
	if f.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(value)
		if err != nil {
			s.t.Fatal(err)
		}
		f.SetInt(int64(d))
		return
	}
	if f.Type() == reflect.TypeFor[l2tp.ResultCode]() {
		f.Set(reflect.ValueOf(parseResult(s.t, value)))
		return
	}
	var err error
	switch f.Kind() {
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
		if f.Elem().Kind() == reflect.Struct {
			s.set(f.Interface(), strings.Split(value, ","))
			return
		}
		s.setField(f.Elem(), value)
	case reflect.Bool:
		f.SetBool(value == "true")
	case reflect.String:
		f.SetString(value)
	case reflect.Slice:
		if f.Type().Elem().Kind() == reflect.Uint8 && f.Type() != reflect.TypeFor[[]l2tp.DigestType]() {
			f.SetBytes([]byte(value))
			return
		}
		for _, part := range strings.Split(value, ",") {
			f.Set(reflect.Append(f, reflect.Zero(f.Type().Elem())))
			s.setField(f.Index(f.Len()-1), part)
		}
	case reflect.Struct:
		s.set(f.Addr().Interface(), strings.Split(value, ","))
	case reflect.Int:
		var n int64
		n, err = strconv.ParseInt(value, 0, 64)
		f.SetInt(n)
	default:
		var n uint64
		n, err = strconv.ParseUint(value, 0, 64)
		f.SetUint(n)
	}
	if err != nil {
		s.t.Fatalf("%q: %v", value, err)
	}
}

// parseResult reads result[/error[/message]].
func parseResult(t *testing.T, value string) l2tp.ResultCode {
	t.Helper()
	parts := strings.SplitN(value, "/", 3)
	var r l2tp.ResultCode
	for i, part := range parts {
		if i == 2 {
			r.Message = part
			break
		}
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			r.Result = uint16(n)
		} else {
			r.Error = l2tp.ErrorCode(n)
		}
	}
	return r
}

// splitWords splits at spaces; a quoted part stays whole and loses its quotes.
func splitWords(line string) []string {
	var words []string
	var b strings.Builder
	quoted := false
	flush := func() {
		if b.Len() > 0 {
			words = append(words, b.String())
			b.Reset()
		}
	}
	for _, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			flush()
		default:
			b.WriteRune(r)
		}
	}
	flush()
	return words
}
