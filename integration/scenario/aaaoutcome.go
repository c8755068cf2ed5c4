package scenario

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// outcomes are what came of each row. The records of FreeRADIUS are waited for:
// they are sent when a session has ended.
func (r *aaaRun) outcomes(reached map[*aaaCall]string) map[string]AAAOutcome {
	r.t.Helper()
	var byCall map[string][]map[string]string
	up := 0
	for _, c := range slices.Concat(r.first, r.second) {
		if c != nil && c.up {
			up++
		}
	}
	if !Eventually(r.site.Limit, func() bool {
		byCall = map[string][]map[string]string{}
		stops := 0
		for _, record := range r.servers.radius.Records(r.t) {
			number := record["Calling-Station-Id"]
			byCall[number] = append(byCall[number], record)
			if record["Acct-Status-Type"] == "Stop" {
				stops++
			}
		}
		return stops >= up
	}) {
		r.t.Errorf("not every one of %d sessions has a Stop record", up)
	}
	all := map[string]AAAOutcome{}
	for i, c := range r.first {
		o := r.seen(c, byCall[c.number])
		if c.up {
			o.DNS = grantedDNS(c.lac.Log(), c.name)
			o.Reached = reached[c]
		}
		if again := r.second[i]; again != nil {
			r.seen(again, byCall[again.number])
			switch {
			case !again.up:
				o.Again = "out"
			case again.lns.RemoteAddress == c.lns.RemoteAddress:
				o.Again = "in, same address"
			default:
				o.Again = "in"
			}
		}
		all[c.name] = o
	}
	return all
}

// seen is what both ends and the records say of a call.
func (r *aaaRun) seen(c *aaaCall, records []map[string]string) (o AAAOutcome) {
	r.t.Helper()
	if !c.up {
		if len(records) > 0 {
			r.t.Errorf("%s: records of somebody who was not let in: %v", c.name, records)
		}
		return o
	}
	s := &c.lns
	if s.Bridge != r.site.LNS.Bridge || c.client.Bridge != r.site.LAC.Bridge {
		r.t.Errorf("%s: the bridges are %s and %s", c.name, s.Bridge, c.client.Bridge)
	}
	if c.client.LocalAddress != s.RemoteAddress || c.client.RemoteAddress != s.LocalAddress || s.LocalAddress.String() != aaaInside {
		r.t.Errorf("%s: the LNS says %v to %v, the client %v to %v", c.name,
			s.LocalAddress, s.RemoteAddress, c.client.RemoteAddress, c.client.LocalAddress)
	}
	o = AAAOutcome{In: true, User: s.User, Method: s.AuthMethod, Profile: s.ServiceProfile}
	o.Address = nameOf(netip.PrefixFrom(s.RemoteAddress, 32))
	if s.Leased != (o.Address == "dhcp") {
		r.t.Errorf("%s: leased is %t with %v", c.name, s.Leased, s.RemoteAddress)
	}
	var routes []string
	for _, p := range s.Routes {
		routes = append(routes, nameOf(p))
	}
	slices.Sort(routes)
	o.Routes = strings.Join(routes, " ")
	o.Cause, o.Class = r.accounted(c, records)
	return o
}

// accounted looks at the records of a call: a Start and a Stop that say of it what
// the LNS does.
//
// RFC 2866 section 5.5: "This attribute is a unique Accounting ID to make it easy
// to match start and stop records in a log file. The start and stop records for a
// given session MUST have the same Acct-Session-Id."
func (r *aaaRun) accounted(c *aaaCall, records []map[string]string) (cause, class string) {
	r.t.Helper()
	if len(records) != 2 || records[0]["Acct-Status-Type"] != "Start" || records[1]["Acct-Status-Type"] != "Stop" {
		r.t.Errorf("%s: not a Start and a Stop: %v", c.name, records)
		return "", ""
	}
	stop := records[1]
	for _, record := range records {
		for name, want := range map[string]string{
			"Acct-Session-Id":   c.lns.AcctSessionID,
			"User-Name":         c.lns.User,
			"Framed-IP-Address": c.lns.RemoteAddress.String(),
			"NAS-Identifier":    "lns.test",
			"Class":             stop["Class"],
			"Service-Type":      "Framed-User",
			"Framed-Protocol":   "PPP",
		} {
			if record[name] != want {
				r.t.Errorf("%s: the %s record has %s = %q, want %q", c.name, record["Acct-Status-Type"], name, record[name], want)
			}
		}
	}
	if c.pinged {
		for _, name := range []string{"Acct-Input-Octets", "Acct-Output-Octets"} {
			octets, err := strconv.Atoi(stop[name])
			if err != nil || octets < aaaPings*aaaPingSize || octets > 100*aaaPings*aaaPingSize {
				r.t.Errorf("%s: %s = %q", c.name, name, stop[name])
			}
		}
	}
	return stop["Acct-Terminate-Cause"], stop["Class"]
}

// Compare fails the test where a row came out otherwise than the table has it. Our
// own client asks for no name servers, and so it is told none.
func (site *AAASite) Compare(t TB, rows []AAARow, got map[string]AAAOutcome) {
	t.Helper()
	for i := range rows {
		row := &rows[i]
		want := row.Want
		if !site.LAC.pppd() {
			want.DNS = ""
		}
		if o := got[row.Name]; o != want {
			t.Errorf("%s (%s):\n got %+v\nwant %+v", row.Name, row.User, o, want)
		}
	}
}
