package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// wire is a proxy between the exporter and a server that counts what passes: an
// independent witness of how many statements and round trips a scrape takes, and
// the source of the texts that are then read bare.
type wire struct {
	listener net.Listener
	server   string // its address
	wg       sync.WaitGroup

	mu    sync.Mutex
	links []*link // nil where it has ended and been taken
}

// link is one connection through the wire. The wire's lock guards it.
type link struct {
	conns    [2]net.Conn
	database string
	texts    map[string]string // prepared statements by name
	ran      []call            // of prepared statements
	executed int               // statements, prepared or not
	rows     int
	turns    int // times the client spoke after the server had
	answered bool
	closed   bool
}

// message types of the protocol, version 3
const (
	msgParse   = 'P'
	msgBind    = 'B'
	msgExecute = 'E'
	msgDataRow = 'D'
)

const protocolVersion = 3 << 16

func newWire(server string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the exporter: %w", err)
	}
	w := &wire{listener: l, server: server}
	w.wg.Go(w.accept)
	return w, nil
}

func (w *wire) address() string { return w.listener.Addr().String() }

// close ends all connections and waits for them.
func (w *wire) close() error {
	err := w.listener.Close()
	w.mu.Lock()
	for _, l := range w.links {
		if l != nil {
			l.hangUp()
		}
	}
	w.mu.Unlock()
	w.wg.Wait()
	return err
}

func (l *link) hangUp() {
	for _, c := range l.conns {
		c.Close()
	}
}

// accept ends with the listener. A connection that cannot be passed on is
// closed, which the exporter reports.
func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{conns: [2]net.Conn{client, server}, texts: map[string]string{}}
		w.mu.Lock()
		w.links = append(w.links, l)
		w.mu.Unlock()
		w.wg.Go(func() { w.pass(l, client, server, w.fromClient) })
		w.wg.Go(func() { w.pass(l, server, client, w.fromServer) })
	}
}

// pass copies messages from one side to the other until either hangs up. What
// came together is passed on together, so that a pipeline stays one turn.
func (w *wire) pass(l *link, from, to net.Conn, see func(*link, byte, []byte)) {
	defer func() {
		l.hangUp()
		w.mu.Lock()
		l.closed = true
		w.mu.Unlock()
	}()
	in := bufio.NewReaderSize(from, 1<<20)
	out := bufio.NewWriterSize(to, 1<<20)
	startup := from == l.conns[0]
	for {
		kind, body, err := readMessage(in, out, startup)
		if err != nil {
			return
		}
		see(l, kind, body)
		startup = false
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// readMessage reads a message and copies it to out. The first of a client has
// no type.
func readMessage(in io.Reader, out io.Writer, startup bool) (kind byte, body []byte, err error) {
	head := make([]byte, 5)
	if startup {
		head = head[:4]
	}
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	if !startup {
		kind = head[0]
	}
	length := binary.BigEndian.Uint32(head[len(head)-4:])
	if length < 4 || length > 1<<30 {
		return 0, nil, fmt.Errorf("a message has %d bytes", length)
	}
	body = make([]byte, length-4)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, err
	}
	_, err = out.Write(append(head, body...))
	return kind, body, err
}

func (w *wire) fromClient(l *link, kind byte, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.answered {
		l.answered = false
		l.turns++
	}
	words := bytes.Split(body, []byte{0})
	switch kind {
	case 0:
		if len(body) > 4 && binary.BigEndian.Uint32(body) == protocolVersion {
			l.database = startupParameter(bytes.Split(body[4:], []byte{0}), "database")
		}
	case msgParse: // name, text, types
		l.texts[string(words[0])] = string(words[1])
	case msgBind: // portal, name, parameters; the nameless are the session's own settings
		if name := string(words[1]); name != "" {
			head := len(words[0]) + 1 + len(words[1]) + 1
			l.ran = append(l.ran, call{text: l.texts[name], params: parameters(body[head:])})
		}
	case msgExecute:
		l.executed++
	}
}

// call is a prepared statement as it was executed.
type call struct {
	text   string
	params []any // strings, which pgx sends as they are
}

// parameters reads what follows the names in a Bind: formats, of which the exporter
// sends none since all is text, and values.
func parameters(body []byte) []any {
	body = body[2+2*binary.BigEndian.Uint16(body):]
	list := make([]any, binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range list {
		length := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if length >= 0 { // else it is NULL
			list[i] = string(body[:length])
			body = body[length:]
		}
	}
	return list
}

func startupParameter(words [][]byte, name string) string {
	for i := 0; i+1 < len(words); i += 2 {
		if string(words[i]) == name {
			return string(words[i+1])
		}
	}
	return ""
}

func (w *wire) fromServer(l *link, kind byte, _ []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.answered = true
	if kind == msgDataRow {
		l.rows++
	}
}

// traffic is what passed between two calls of take.
type traffic struct {
	statements, rows, turns int
	sessions                []linkTraffic // in the order they were opened; the first lasts
}

// linkTraffic is what one session ran, in that order.
type linkTraffic struct {
	number   int // of the session, from 0
	database string
	calls    []call
	closed   bool // since
}

// lasting is what ran on the session that lasts.
func (t traffic) lasting() []call {
	for _, s := range t.sessions {
		if s.number == 0 {
			return s.calls
		}
	}
	return nil
}

// others is what ran on the other sessions, by database.
func (t traffic) others() map[string][]call {
	calls := map[string][]call{}
	for _, s := range t.sessions {
		if s.number > 0 && len(s.calls) > 0 {
			calls[s.database] = append(calls[s.database], s.calls...)
		}
	}
	return calls
}

// take returns what has passed since it was last called.
func (w *wire) take() traffic {
	w.mu.Lock()
	defer w.mu.Unlock()
	var t traffic
	for i, l := range w.links {
		if l == nil {
			continue
		}
		t.statements += l.executed
		t.rows += l.rows
		t.turns += l.turns
		t.sessions = append(t.sessions, linkTraffic{number: i, database: l.database, calls: l.ran, closed: l.closed})
		l.executed, l.rows, l.turns, l.ran = 0, 0, 0, nil
		if l.closed {
			w.links[i] = nil
		}
	}
	return t
}
