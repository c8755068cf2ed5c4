package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"adit/integration/bench/logins"
)

// What is to be reached.
const (
	targetFloor  = 0.8  // of the floor
	targetL2TPNS = 5    // times l2tpns
	targetTCP    = 10   // times the one-by-one path
	targetMemory = 4096 // octets for a session, at most
)

// figure is an element of bench.json.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Against names what it is compared with, and Ratio is value by that one's, the
	// median of the rounds (so it is about, not exactly, that of the two values);
	// "" and 0: with nothing.
	Against string  `json:"against"`
	Ratio   float64 `json:"ratio"`
}

// row is one load at all servers.
type row struct {
	load load
	of   map[string]sample
	// ratio of adit's packets for processor time to a server's.
	ratio map[string]float64
}

// report is what a run has seen.
type report struct {
	sessions int
	loads    []row
	ethernet []row              // of Ethernet pseudowires
	tcp      map[string]float64 // bit/s
	tcpRatio map[string]float64 // of adit's to them
	setups   map[string]float64 // sessions/s
	memory   float64            // octets; 0: not measured
	logins   []logins.Row
}

// gbit is the speed of packets of the load in Gbit/s of IP.
func (l load) gbit(packets float64) float64 { return packets * float64(l.size) * 8 / 1e9 }

func (m sample) String() string {
	return fmt.Sprintf("%.3f Mpps (delivered %.3f, processor %.0f %%)", m.perCPU/1e6, m.delivered/1e6, m.busy*100)
}

// figures are all of them, adit's beside each of the others'.
func (r *report) figures() (all []figure) {
	for _, w := range r.loads {
		all = append(all, w.figures("")...)
	}
	for _, w := range r.ethernet {
		all = append(all, w.figures(ethernetName)...)
	}
	if v := r.tcp[ethernetFloor]; v > 0 {
		all = append(all, figure{ethernetName + "tcp/1-session", r.tcp[ethernetTCP], "bit/s", "floor", r.tcpRatio[ethernetFloor]},
			figure{ethernetName + "tcp/1-session/floor", v, "bit/s", "", 0})
	}
	for _, other := range []string{"floor", unmerged, oneByOne} {
		if v := r.tcp[other]; v > 0 {
			all = append(all, figure{"tcp/1-session", r.tcp["adit"], "bit/s", other, r.tcpRatio[other]},
				figure{"tcp/1-session/" + other, v, "bit/s", "", 0})
		}
	}
	name := fmt.Sprintf("setup/%d-sessions", r.sessions)
	if v := r.setups["l2tpns"]; v > 0 {
		all = append(all, figure{name, r.setups["adit"], "session/s", "l2tpns", r.setups["adit"] / v},
			figure{name + "/l2tpns", v, "session/s", "", 0})
	} else if v := r.setups["adit"]; v > 0 {
		all = append(all, figure{name, v, "session/s", "", 0})
	}
	if r.memory > 0 {
		all = append(all, figure{"memory/100000-sessions", r.memory, "byte/session", "limit", r.memory / targetMemory})
	}
	return append(all, loginFigures(r.logins)...)
}

// figures have that before their names.
func (w row) figures(kind string) (all []figure) {
	ours, name := w.of["adit"], kind+w.load.name()
	for _, other := range []string{"floor", "l2tpns"} {
		m, ok := w.of[other]
		if !ok || m.perCPU <= 0 { // it did not come to run
			continue
		}
		ratio := w.ratio[other]
		all = append(all,
			figure{name, ours.perCPU, "packet/s", other, ratio},
			figure{name, w.load.gbit(ours.perCPU), "Gbit/s", other, ratio},
			figure{name + "/" + other, m.perCPU, "packet/s", "", 0},
			figure{name + "/delivered", ours.delivered, "packet/s", other, ours.delivered / m.delivered})
	}
	return all
}

// reached is a word on a target.
func reached(ratio, target float64) string {
	if ratio >= target {
		return "yes"
	}
	return "NO"
}

// print shows the table.
func (r *report) print(w io.Writer) {
	if len(r.loads) == 0 {
		r.printOthers(w)
		return
	}
	fmt.Fprintf(w, "\nPackets for a second of one processor of the server (its own time and the kernel's for it).\n"+
		"To reach: %.0f %% of the floor, %d times l2tpns, TCP %d times what adit does where nothing is merged.\n\n", targetFloor*100, targetL2TPNS, targetTCP)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "load\tadit Mpps\tGbit/s\tfloor Mpps\tof floor\treached\tl2tpns Mpps\ttimes l2tpns\treached\tprocessor full\t")
	for _, x := range r.loads {
		ours := x.of["adit"]
		fmt.Fprintf(t, "%s\t%.3f\t%.2f\t", x.load, ours.perCPU/1e6, x.load.gbit(ours.perCPU))
		if m := x.of["floor"]; m.perCPU > 0 {
			q := x.ratio["floor"]
			fmt.Fprintf(t, "%.3f\t%.0f %%\t%s\t", m.perCPU/1e6, q*100, reached(q, targetFloor))
		} else {
			fmt.Fprint(t, "-\t-\t-\t")
		}
		if m := x.of["l2tpns"]; m.perCPU > 0 {
			q := x.ratio["l2tpns"]
			fmt.Fprintf(t, "%.3f\t%.1f\t%s\t", m.perCPU/1e6, q, reached(q, targetL2TPNS))
		} else {
			fmt.Fprint(t, "-\t-\t-\t")
		}
		fmt.Fprintf(t, "%.0f %%\t\n", ours.busy*100)
	}
	_ = t.Flush() // of standard output
	r.printOthers(w)
}

func (r *report) printOthers(w io.Writer) {
	r.printEthernet(w)
	if ours := r.tcp["adit"]; ours > 0 {
		floor, without, bare := r.tcp["floor"], r.tcp[unmerged], r.tcp[oneByOne]
		fmt.Fprintf(w, "\nOne TCP connection through a session: %.2f Gbit/s; %.0f %% of the floor's %.2f; %.1f times the %.2f of adit where nothing is merged (reached: %s),\n"+
			"%.1f times the %.2f of bare calls for each packet\n",
			ours/1e9, r.tcpRatio["floor"]*100, floor/1e9, r.tcpRatio[unmerged], without/1e9, reached(r.tcpRatio[unmerged], targetTCP),
			r.tcpRatio[oneByOne], bare/1e9)
	}
	printLogins(w, r.logins)
	if ours := r.setups["adit"]; ours > 0 {
		fmt.Fprintf(w, "Sessions set up, PPP and all: %.0f a second", ours)
		if theirs := r.setups["l2tpns"]; theirs > 0 {
			fmt.Fprintf(w, "; l2tpns with the same LAC: %.0f (%.1f times)", theirs, ours/theirs)
		}
		fmt.Fprintln(w)
	}
	if r.memory > 0 {
		fmt.Fprintf(w, "Memory of a session among 100,000: %.0f bytes (reached: %s)\n", r.memory, reached(targetMemory, r.memory))
	}
}

// write writes the figures as JSON.
func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r.figures(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
