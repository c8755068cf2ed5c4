package companion

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The names of the files in the run directory.
const (
	configFile     = "radiusclient.conf"
	serversFile    = "servers"
	dictionaryFile = "dictionary"
	mapFile        = "port-id-map"
	sequenceFile   = "sequence"
	// issueFile and nologinFile are named in the configuration because it has to
	// name them; they are never made.
	issueFile   = "issue"
	nologinFile = "nologin"
)

func (r *Responder) path(name string) string { return filepath.Join(r.dir, name) }

// config is what radius.so reads. It refuses a file where one of these is
// missing.
func (r *Responder) config() string {
	port := func(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, key+"\t"+format+"\n", args...)
	}
	line("auth_order", "radius")
	line("login_tries", "1")
	line("login_timeout", "60")
	line("nologin", "%s", r.path(nologinFile))
	line("issue", "%s", r.path(issueFile))
	line("authserver", "127.0.0.1:%d", port(r.auth))
	line("acctserver", "127.0.0.1:%d", port(r.acct))
	line("servers", "%s", r.path(serversFile))
	line("dictionary", "%s", r.path(dictionaryFile))
	line("seqfile", "%s", r.path(sequenceFile))
	line("mapfile", "%s", r.path(mapFile))
	line("default_realm", "") // the name goes on as the peer wrote it
	line("radius_timeout", "%d", int(retryAfter.Seconds()))
	line("radius_retries", "%d", tries)
	line("nas_identifier", "%s", r.nasID)
	// With "*" the plugin looks up this machine's own name, and refuses everybody
	// where that fails.
	line("bindaddr", "127.0.0.1")
	return b.String()
}

// writeFiles makes the run directory and what is in it. Another user must not be
// able to read the secret or to put a file of its own in its place.
func (r *Responder) writeFiles() error {
	if strings.ContainsAny(r.dir, " \t\r\n\"'\\#") || !filepath.IsAbs(r.dir) {
		return fmt.Errorf("the run directory %q has to be absolute and without blanks and quotes, which pppd cannot read: choose another", r.dir)
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(r.dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", r.dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s: %w", r.dir, unix.ENOTDIR)
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w", r.dir, errOwner)
	}
	if err := os.Chmod(r.dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{
		configFile:     r.config(),
		serversFile:    "127.0.0.1\t" + string(r.secret) + "\n",
		dictionaryFile: dictionary,
		mapFile:        "",
		// The plugins of all sessions count their requests here, so that two do not
		// use one Identifier.
		sequenceFile: "1\n",
	} {
		if err := replace(r.path(name), text); err != nil {
			r.removeFiles()
			return err
		}
	}
	return nil
}

// replace writes a file anew, as one of our own.
func replace(path, text string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// removeFiles removes what writeFiles made, and the directory if nothing else is
// in it.
func (r *Responder) removeFiles() {
	for _, name := range [...]string{configFile, serversFile, dictionaryFile, mapFile, sequenceFile} {
		_ = os.Remove(r.path(name))
	}
	_ = os.Remove(r.dir)
}

// dictionary has the attributes that pass between the plugin and us. The plugin
// goes by their numbers, and leaves out what is not here; radattr.so writes their
// names. They are those of the time that the plugin's library is from, in which
// User-Password was Password and NAS-Port was NAS-Port-Id.
const dictionary = `ATTRIBUTE	User-Name	1	string
ATTRIBUTE	Password	2	string
ATTRIBUTE	CHAP-Password	3	string
ATTRIBUTE	NAS-IP-Address	4	ipaddr
ATTRIBUTE	NAS-Port-Id	5	integer
ATTRIBUTE	Service-Type	6	integer
ATTRIBUTE	Framed-Protocol	7	integer
ATTRIBUTE	Framed-IP-Address	8	ipaddr
ATTRIBUTE	Framed-IP-Netmask	9	ipaddr
ATTRIBUTE	Filter-Id	11	string
ATTRIBUTE	Framed-MTU	12	integer
ATTRIBUTE	Reply-Message	18	string
ATTRIBUTE	Framed-Route	22	string
ATTRIBUTE	State	24	string
ATTRIBUTE	Class	25	string
ATTRIBUTE	Session-Timeout	27	integer
ATTRIBUTE	Idle-Timeout	28	integer
ATTRIBUTE	Termination-Action	29	integer
ATTRIBUTE	Called-Station-Id	30	string
ATTRIBUTE	Calling-Station-Id	31	string
ATTRIBUTE	NAS-Identifier	32	string
ATTRIBUTE	Acct-Status-Type	40	integer
ATTRIBUTE	Acct-Delay-Time	41	integer
ATTRIBUTE	Acct-Input-Octets	42	integer
ATTRIBUTE	Acct-Output-Octets	43	integer
ATTRIBUTE	Acct-Session-Id	44	string
ATTRIBUTE	Acct-Authentic	45	integer
ATTRIBUTE	Acct-Session-Time	46	integer
ATTRIBUTE	Acct-Input-Packets	47	integer
ATTRIBUTE	Acct-Output-Packets	48	integer
ATTRIBUTE	Acct-Terminate-Cause	49	integer
ATTRIBUTE	Acct-Input-Gigawords	52	integer
ATTRIBUTE	Acct-Output-Gigawords	53	integer
ATTRIBUTE	CHAP-Challenge	60	string
ATTRIBUTE	NAS-Port-Type	61	integer
ATTRIBUTE	Port-Limit	62	integer
ATTRIBUTE	Connect-Info	77	string
ATTRIBUTE	Acct-Interim-Interval	85	integer

VALUE	Service-Type	Framed-User	2
VALUE	Framed-Protocol	PPP	1
VALUE	Acct-Status-Type	Start	1
VALUE	Acct-Status-Type	Stop	2
VALUE	Acct-Status-Type	Alive	3
VALUE	Acct-Authentic	RADIUS	1
VALUE	Acct-Authentic	Local	2
VALUE	NAS-Port-Type	Async	0
VALUE	NAS-Port-Type	Sync	1
VALUE	NAS-Port-Type	Virtual	5

VENDOR	Microsoft	311	Microsoft
ATTRIBUTE	MS-CHAP-Response	1	string	Microsoft
ATTRIBUTE	MS-CHAP-Error	2	string	Microsoft
ATTRIBUTE	MS-MPPE-Encryption-Policy	7	string	Microsoft
ATTRIBUTE	MS-MPPE-Encryption-Types	8	string	Microsoft
ATTRIBUTE	MS-CHAP-Domain	10	string	Microsoft
ATTRIBUTE	MS-CHAP-Challenge	11	string	Microsoft
ATTRIBUTE	MS-CHAP-MPPE-Keys	12	string	Microsoft
ATTRIBUTE	MS-MPPE-Send-Key	16	string	Microsoft
ATTRIBUTE	MS-MPPE-Recv-Key	17	string	Microsoft
ATTRIBUTE	MS-CHAP2-Response	25	string	Microsoft
ATTRIBUTE	MS-CHAP2-Success	26	string	Microsoft
ATTRIBUTE	MS-Primary-DNS-Server	28	ipaddr	Microsoft
ATTRIBUTE	MS-Secondary-DNS-Server	29	ipaddr	Microsoft
ATTRIBUTE	MS-Primary-NBNS-Server	30	ipaddr	Microsoft
ATTRIBUTE	MS-Secondary-NBNS-Server	31	ipaddr	Microsoft
`
