// Command server is a runtime of the Go SDK with the agents of the flows: server TOKEN. It prints its address and ends
// when its input does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/agentruntimecontrolprotocol/go-sdk/auth"
	"github.com/agentruntimecontrolprotocol/go-sdk/middleware/nethttp"
	"github.com/agentruntimecontrolprotocol/go-sdk/server"
)

type input struct {
	Milliseconds int    `json:"ms"`
	Count        int    `json:"n"`
	DelayMs      int    `json:"delay_ms"`
	Bytes        int    `json:"bytes"`
	Encoding     string `json:"encoding"`
}

type agent func(ctx context.Context, in input, jc *server.JobContext) (any, error)

func pause(ctx context.Context, milliseconds int) error {
	select {
	case <-time.After(time.Duration(milliseconds) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func slow(ctx context.Context, in input, _ *server.JobContext) (any, error) {
	if err := pause(ctx, in.Milliseconds); err != nil {
		return nil, err
	}
	return map[string]any{"slept": in.Milliseconds}, nil
}

func chatter(ctx context.Context, in input, jc *server.JobContext) (any, error) {
	for line := 0; line < in.Count; line++ {
		if line > 0 {
			if err := pause(ctx, in.DelayMs); err != nil {
				return nil, err
			}
		}
		jc.Log(slog.LevelInfo, fmt.Sprintf("line %d", line))
	}
	return map[string]any{"lines": in.Count}, nil
}

func progress(_ context.Context, in input, jc *server.JobContext) (any, error) {
	for step := 1; step <= in.Count; step++ {
		jc.Progress(uint64(step), uint64(in.Count), "steps", "")
	}
	return map[string]any{"steps": in.Count}, nil
}

func chunks(_ context.Context, in input, jc *server.JobContext) (any, error) {
	writer, err := jc.StreamResult(in.Encoding)
	if err != nil {
		return nil, err
	}
	for piece := 0; piece < in.Count; piece++ {
		if _, err := io.WriteString(writer, strings.Repeat(string(rune('a'+piece)), in.Bytes)); err != nil {
			return nil, err
		}
	}
	return nil, writer.Close()
}

func fail(context.Context, input, *server.JobContext) (any, error) {
	return nil, errors.New("interop: deliberate failure")
}

func main() {
	srv := server.New(server.Options{
		Name:     "go-runtime",
		Verifier: auth.StaticBearer(map[string]string{os.Args[1]: "interop"}),
	})
	srv.RegisterAgent("echo", func(_ context.Context, raw json.RawMessage, _ *server.JobContext) (any, error) {
		return raw, nil
	})
	for name, run := range map[string]agent{
		"fail": fail, "slow": slow, "chatter": chatter, "progress": progress, "chunks": chunks,
	} {
		srv.RegisterAgent(name, func(ctx context.Context, raw json.RawMessage, jc *server.JobContext) (any, error) {
			var in input
			if len(raw) > 0 {
				if err := json.Unmarshal(raw, &in); err != nil {
					return nil, err
				}
			}
			return run(ctx, in, jc)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/arcp", nethttp.NewHandler(srv, nethttp.Options{}))
	go func() { _ = http.Serve(listener, mux) }()
	fmt.Printf("{\"url\":\"ws://%s/arcp\"}\n", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
