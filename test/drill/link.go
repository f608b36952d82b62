package main

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"
)

// A link is the network between a standby and its upstream: a port that leads to
// another, and can be cut, slow, or silent.
type link struct {
	to       string
	listener net.Listener

	mu     sync.Mutex
	isCut  bool
	silent bool
	rate   int // bytes a second in each direction, 0 for as many as come
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

// openLink leads to a port of the loopback.
func openLink(port int) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{to: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), listener: l, conns: map[net.Conn]bool{}}
	k.wg.Go(k.serve)
	return k, nil
}

func (k *link) port() int { return k.listener.Addr().(*net.TCPAddr).Port }

// cut ends all connections and takes no more, until mend.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isCut = true
	for c := range k.conns {
		c.Close()
	}
}

// slow lets only so many bytes a second through, until mend.
func (k *link) slow(rate int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rate = rate
}

// silence lets nothing through, until mend, not even that an end has gone.
func (k *link) silence() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.silent = true
}

func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isCut, k.silent, k.rate = false, false, 0
}

func (k *link) close() error {
	err := k.listener.Close()
	k.cut()
	k.wg.Wait()
	return err
}

func (k *link) serve() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.wg.Go(func() { k.carry(c) })
	}
}

func (k *link) carry(near net.Conn) {
	defer near.Close()
	if !k.keep(near) {
		return
	}
	defer k.drop(near)
	far, err := new(net.Dialer).DialContext(context.Background(), "tcp", k.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !k.keep(far) {
		return
	}
	defer k.drop(far)
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.pass(far, near)
		far.Close()
	}()
	k.pass(near, far)
	near.Close()
	<-done
}

// pass copies until either end closes.
func (k *link) pass(to, from net.Conn) {
	chunk := make([]byte, 16<<10)
	for {
		n, err := from.Read(chunk)
		k.hold(n)
		if n > 0 {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold takes the time that bytes take, or that nothing gets through.
func (k *link) hold(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rate > 0 {
		d := time.Duration(n) * time.Second / time.Duration(k.rate)
		k.mu.Unlock()
		time.Sleep(d)
		k.mu.Lock()
	}
	for k.silent && !k.isCut {
		k.mu.Unlock()
		time.Sleep(look)
		k.mu.Lock()
	}
}

// keep counts a connection among those that a cut ends, unless it is cut.
func (k *link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.isCut {
		return false
	}
	k.conns[c] = true
	return true
}

func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}
