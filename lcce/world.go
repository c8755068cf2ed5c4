package lcce

import (
	"time"

	"adit/internal/engine"
	"adit/internal/kernel"
)

// openWorld opens what the role acts upon, in the network namespace of the caller.
func openWorld(e *engine.Engine, r *Role) (w world, err error) {
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	links, err := kernel.OpenLinks()
	if err != nil {
		return w, err
	}
	w.devices, w.user = links, engineSessions{e}
	w.closings = append(w.closings, links.Close)
	if err = w.listen(r); err != nil {
		return w, err
	}
	netlink, problem := kernel.OpenL2TP()
	if problem != nil {
		w.noL2TP = problem
		return w, nil
	}
	w.l2tp = netlink
	w.closings = append(w.closings, func() { _ = netlink.Close() })
	watch, err := kernel.ListenL2TP(r.kernelEvent)
	if err != nil {
		return w, err
	}
	w.closings = append(w.closings, func() { _ = watch.Close() })
	return w, nil
}

// linkReader has changes of network devices told to the role.
type linkReader struct {
	watch *kernel.LinkWatch
	role  *Role
}

// Ready is kernel.Handler's.
func (l *linkReader) Ready(time.Time, kernel.Events) {
	if l.watch.Read(l.role.linkEvent) {
		l.role.linkEvent(0)
	}
}

// listen begins to listen to changes of devices, and to echo replies.
func (w *world) listen(r *Role) error {
	poller, err := kernel.NewPoller()
	if err != nil {
		return err
	}
	watch, err := kernel.OpenLinkWatch()
	if err != nil {
		poller.Close()
		return err
	}
	pings := newPinger(poller, r.answered)
	w.probes = pings
	ended := make(chan struct{})
	w.closings = append(w.closings, func() {
		poller.Stop()
		<-ended
		watch.Close()
		pings.close()
		poller.Close()
	})
	go func() {
		defer close(ended)
		if failed := poller.Run(); failed != nil {
			r.log.WithError(failed).Errorf("changes of network devices are not heard any more: they are repaired after up to %v", checkInterval)
		}
	}()
	_, err = poller.Add(watch.FD(), kernel.Readable, &linkReader{watch, r})
	return err
}

// engineSessions opens sessions in the engine.
type engineSessions struct{ *engine.Engine }

func (e engineSessions) open(spec engine.StaticSpec) (userSession, error) {
	s, err := e.OpenStatic(spec)
	if err != nil {
		return nil, err // not s, which would be no nil
	}
	return s, nil
}
