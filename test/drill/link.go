package main

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
)

// A link is the network between a standby and its upstream: a port that leads to
// another, and can be cut.
type link struct {
	to       string
	listener net.Listener

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]bool
	wg    sync.WaitGroup
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

func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isCut = false
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
		io.Copy(far, near) //nolint:errcheck // either end may close it
		far.Close()
	}()
	io.Copy(near, far) //nolint:errcheck // as above
	near.Close()
	<-done
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
