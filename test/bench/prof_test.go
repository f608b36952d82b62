package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

func TestProf(t *testing.T) {
	ctx := t.Context()
	which := os.Getenv("PROF_LOAD")
	path := os.Getenv("PROF_PATH")
	for _, load := range workloads(true) {
		if load.name != which {
			continue
		}
		st, err := newStage(ctx, load)
		if err != nil {
			t.Fatal(err)
		}
		defer st.stop()
		os.Setenv("PPROF_ADDR", "127.0.0.1:16060")
		b := &bench{stage: st, load: load, sizes: sizes{turns: 1, scrapes: 20}, binary: os.Getenv("PROF_BINARY")}
		if err := b.first(ctx); err != nil {
			t.Fatal(err)
		}
		defer b.stop(ctx)
		get := func() error { _, err := b.exporter.Get(ctx, path, nil); return err }
		one, srv, err := b.spend(b.exporterClock, b.mainClock, get)
		fmt.Println("before profile", one, srv, err)
		done := make(chan struct{})
		if os.Getenv("PROF_OUT") != "" {
			go func() {
				defer close(done)
				resp, err := http.Get("http://127.0.0.1:16060/debug/pprof/profile?seconds=8")
				if err != nil {
					fmt.Println(err)
					return
				}
				f, _ := os.Create(os.Getenv("PROF_OUT"))
				io.Copy(f, resp.Body)
				f.Close()
			}()
			n := 0
			for end := time.Now().Add(8 * time.Second); time.Now().Before(end); n++ {
				if err := get(); err != nil {
					t.Fatal(err)
				}
			}
			<-done
			fmt.Println("scrapes in profile", n)
		}
		for range 5 {
			one, srv, err = b.spend(b.exporterClock, b.mainClock, get)
			fmt.Println("after", one, srv, err)
		}
		_ = context.Background
	}
}
