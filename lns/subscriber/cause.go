package subscriber

import "strconv"

// terminateCauses are the names that RFC 2866 section 5.10 gives, as dictionaries
// of RADIUS servers write them.
var terminateCauses = [...]string{
	UserRequest: "User-Request", LostCarrier: "Lost-Carrier", LostService: "Lost-Service",
	IdleTimeout: "Idle-Timeout", SessionTimeout: "Session-Timeout", AdminReset: "Admin-Reset",
	AdminReboot: "Admin-Reboot", PortError: "Port-Error", NASError: "NAS-Error",
	NASRequest: "NAS-Request", NASReboot: "NAS-Reboot", PortPreempted: "Port-Preempted",
	ServiceUnavailable: "Service-Unavailable", UserError: "User-Error",
}

// String is the RFC's name, with hyphens: "User-Request".
func (c TerminateCause) String() string {
	if int(c) < len(terminateCauses) && terminateCauses[c] != "" {
		return terminateCauses[c]
	}
	return strconv.Itoa(int(c))
}
