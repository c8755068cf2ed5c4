package pseudowire

import (
	"sync"
	"time"

	"adit/internal/kernel"
)

// plane is what devices need of the machine: a socket to set them up, and one to hear
// what others do to them. It is opened with the first device.
type plane struct {
	poller *kernel.Poller

	mu       sync.Mutex
	links    *kernel.Links // nil: not open
	watch    *kernel.LinkWatch
	handle   kernel.Handle
	attached map[int]*attachment // by the index of the interface
	strayed  map[*attachment]bool
}

// open opens the sockets in the network namespace of now.
func (p *plane) open() (*kernel.Links, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links != nil {
		return p.links, nil
	}
	links, err := kernel.OpenLinks()
	if err != nil {
		return nil, err
	}
	watch, err := kernel.OpenLinkWatch()
	if err != nil {
		links.Close()
		return nil, err
	}
	handle, err := p.poller.Add(watch.FD(), kernel.Readable, p)
	if err != nil {
		links.Close()
		watch.Close()
		return nil, err
	}
	p.links, p.watch, p.handle, p.attached = links, watch, handle, make(map[int]*attachment)
	p.strayed = make(map[*attachment]bool)
	return links, nil
}

// attach has the attachment hear of changes of an interface.
func (p *plane) attach(index int, a *attachment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached[index] = a
}

func (p *plane) detach(index int, a *attachment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attached[index] == a {
		delete(p.attached, index)
	}
	delete(p.strayed, a)
}

// stray has the attachment hear of changes of all interfaces, or no more: its bridge is
// gone, and may come back as another interface.
func (p *plane) stray(a *attachment, astray bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if astray {
		p.strayed[a] = true
	} else {
		delete(p.strayed, a)
	}
}

// Ready is kernel.Handler's: somebody has changed interfaces. What has become of ours,
// a worker asks: the news may be older than the interface.
func (p *plane) Ready(time.Time, kernel.Events) {
	p.mu.Lock()
	var changed []*attachment
	if p.watch == nil {
		p.mu.Unlock()
		return
	}
	strangers := false
	lost := p.watch.Read(func(index int) {
		if a := p.attached[index]; a != nil {
			changed = append(changed, a)
		} else {
			strangers = true
		}
	})
	if strangers {
		for a := range p.strayed {
			changed = append(changed, a)
		}
	}
	if lost {
		for _, a := range p.attached {
			changed = append(changed, a)
		}
	}
	p.mu.Unlock()
	for _, a := range changed {
		a.look()
	}
}

// close is called when no attachment is left, nor will come.
func (p *plane) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links == nil {
		return
	}
	p.poller.Remove(p.handle)
	p.watch.Close()
	p.links.Close()
	p.links, p.watch = nil, nil
}
