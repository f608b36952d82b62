package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

type labels map[string]string

// String is the labels as a selector writes them, the name of the alert first.
func (l labels) String() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if name != "alertname" {
			fmt.Fprintf(&text, ", %s=%q", name, l[name])
		}
	}
	return l["alertname"] + "{" + strings.TrimPrefix(text.String(), ", ") + "}"
}

// has reports whether all of some other labels are among these.
func (l labels) has(some labels) bool {
	for name, value := range some {
		if l[name] != value {
			return false
		}
	}
	return true
}

// A notice is one firing alert in a message that an Alertmanager sent.
type notice struct {
	at       time.Time
	by       way
	receiver string // of the example's configuration: page, ticket, chat
	labels   labels
}

// hooks is the receiver of all notices.
type hooks struct {
	server *http.Server
	base   string

	mu      sync.Mutex
	notices []notice
	errs    []error
}

func startHooks() (*hooks, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hooks{base: "http://" + l.Addr().String()}
	mux := http.NewServeMux()
	for w := range ways {
		mux.HandleFunc(fmt.Sprintf("POST /%d/{receiver}", w), func(_ http.ResponseWriter, r *http.Request) { h.take(w, r) })
	}
	h.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go h.server.Serve(l) //nolint:errcheck // it ends with ErrServerClosed
	return h, nil
}

func (h *hooks) stop() error { return h.server.Close() }

// url is where the Alertmanager of a way sends to, less the receiver.
func (h *hooks) url(w way) string { return fmt.Sprintf("%s/%d", h.base, w) }

func (h *hooks) take(w way, r *http.Request) {
	var message struct {
		Alerts []struct {
			Status string
			Labels labels
		}
	}
	err := json.NewDecoder(r.Body).Decode(&message)
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.errs = append(h.errs, fmt.Errorf("read what an Alertmanager sent: %w", err))
		return
	}
	for _, a := range message.Alerts {
		if a.Status == "firing" {
			h.notices = append(h.notices, notice{now, w, r.PathValue("receiver"), a.Labels})
		}
	}
}

// since are the notices that came after a moment.
func (h *hooks) since(t time.Time) (list []notice, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.notices {
		if n.at.After(t) {
			list = append(list, n)
		}
	}
	if len(h.errs) > 0 {
		err = h.errs[0]
	}
	return list, err
}

// scaled is the example of Alertmanager's configuration in the time of drills, with
// our URLs for its receivers.
func scaled(example []byte, url string) ([]byte, error) {
	var config struct {
		Route     map[string]any   `yaml:"route"`
		Inhibit   []map[string]any `yaml:"inhibit_rules"`
		Receivers []struct {
			Name     string           `yaml:"name"`
			Webhooks []map[string]any `yaml:"webhook_configs"`
		} `yaml:"receivers"`
	}
	if err := yaml.Unmarshal(example, &config); err != nil {
		return nil, fmt.Errorf("read the example of Alertmanager's configuration: %w", err)
	}
	if err := scaleRoute(config.Route); err != nil {
		return nil, err
	}
	for _, r := range config.Receivers {
		for _, hook := range r.Webhooks {
			hook["url"] = url + "/" + r.Name
		}
	}
	return yaml.Marshal(config)
}

// scaleRoute scales the durations of a route and of those below it.
func scaleRoute(route map[string]any) error {
	for _, key := range []string{"group_wait", "group_interval", "repeat_interval"} {
		text, ok := route[key].(string)
		if !ok {
			continue
		}
		d, err := duration(text)
		if err != nil {
			return err
		}
		route[key] = fmt.Sprintf("%dms", max(int64(float64(d.Milliseconds())*scale), 100))
		if key == "repeat_interval" {
			route[key] = "1h" // nobody waits for the second notice
		}
	}
	children, _ := route["routes"].([]any)
	for _, child := range children {
		if err := scaleRoute(child.(map[string]any)); err != nil {
			return err
		}
	}
	return nil
}

// duration reads Prometheus' form, of one unit.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		return 24 * d, err
	}
	return time.ParseDuration(text)
}
