// Command client goes through the flows with the Go SDK's client: client URL TOKEN. It prints one JSON object per flow.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	arcp "github.com/agentruntimecontrolprotocol/go-sdk"
	"github.com/agentruntimecontrolprotocol/go-sdk/client"
	"github.com/agentruntimecontrolprotocol/go-sdk/messages"
	"github.com/agentruntimecontrolprotocol/go-sdk/transport"
)

const flowTimeout = 15 * time.Second

type object = map[string]any

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("expected %v, got %v", expected, actual))
	}
}

func open(ctx context.Context, resume *messages.ResumeRequest) (*client.Client, transport.Transport) {
	wire, err := transport.DialWebSocket(ctx, os.Args[1], transport.WebSocketOptions{})
	must(err)
	c, err := client.Connect(ctx, wire, client.Options{Token: os.Args[2], Resume: resume})
	must(err)
	return c, wire
}

func submit(ctx context.Context, c *client.Client, agent string, input any) *client.JobHandle {
	handle, err := c.Submit(ctx, client.SubmitRequest{Agent: agent, Input: input})
	must(err)
	return handle
}

func decoded(raw json.RawMessage) any {
	var value any
	must(json.Unmarshal(raw, &value))
	return value
}

func lines(count int) []string {
	var all []string
	for line := range count {
		all = append(all, fmt.Sprintf("line %d", line))
	}
	return all
}

func messagesOf(events <-chan messages.JobEvent) []string {
	var all []string
	for event := range events {
		if event.Kind == messages.KindLog {
			var body messages.LogBody
			must(json.Unmarshal(event.Body, &body))
			all = append(all, body.Message)
		}
	}
	return all
}

// drain keeps the events of a job from holding its client up.
func drain(events <-chan messages.JobEvent) {
	go func() {
		for range events {
		}
	}()
}

func codeOf(err error) string {
	if err == nil {
		panic("nothing was refused")
	}
	return string(arcp.Code(err))
}

// takenUp drops the connection and resumes the session after the given number.
func takenUp(ctx context.Context, c *client.Client, wire transport.Transport, seq uint64) *client.Client {
	must(wire.Close())
	time.Sleep(100 * time.Millisecond)
	again, _ := open(ctx, &messages.ResumeRequest{
		SessionID:    c.SessionID(),
		ResumeToken:  c.Welcome().ResumeToken,
		LastEventSeq: seq,
	})
	same(again.SessionID(), c.SessionID())
	return again
}

func untilSeq(c *client.Client, seq uint64) {
	for range 50 {
		if c.HighestSeq() == seq {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	same(c.HighestSeq(), seq)
}

var flows = []struct {
	name string
	run  func(ctx context.Context)
}{
	{"connect", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		for _, agent := range c.Welcome().Capabilities.Agents {
			if agent.Name == "echo" {
				return
			}
		}
		panic("the agent echo is not listed")
	}},
	{"submit", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		input := object{"text": "héllo ✓", "list": []any{1.0, 2.5, nil}, "nested": object{"deep": true}}
		handle := submit(ctx, c, "echo", input)
		result, err := handle.Wait(ctx)
		must(err)
		same(decoded(result.Output), any(input))
	}},
	{"budget", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		var lease arcp.Lease
		must(json.Unmarshal([]byte(`{"cost.budget":["USD:1.50"]}`), &lease))
		handle, err := c.Submit(ctx, client.SubmitRequest{Agent: "echo", Input: 1, LeaseRequest: lease})
		must(err)
		_, err = handle.Wait(ctx)
		must(err)
		same(handle.Accepted().Budget["USD"], 1.5)
	}},
	{"events", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		handle := submit(ctx, c, "chatter", object{"n": 50})
		same(messagesOf(handle.Events()), lines(50))
	}},
	{"progress", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		handle := submit(ctx, c, "progress", object{"n": 4})
		var seen []uint64
		for event := range handle.Events() {
			if event.Kind == messages.KindProgress {
				var body messages.ProgressBody
				must(json.Unmarshal(event.Body, &body))
				same(body.Total, uint64(4))
				seen = append(seen, body.Current)
			}
		}
		same(seen, []uint64{1, 2, 3, 4})
	}},
	{"chunks", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		whole := strings.Repeat("a", 24) + strings.Repeat("b", 24) + strings.Repeat("c", 24)
		for _, encoding := range []string{"utf8", "base64"} {
			handle := submit(ctx, c, "chunks", object{"n": 3, "bytes": 24, "encoding": encoding})
			data, err := handle.CollectChunks(ctx)
			must(err)
			same(string(data), whole)
			result, err := handle.Wait(ctx)
			must(err)
			same(result.ResultSize, uint64(72))
		}
	}},
	{"cancel", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		handle := submit(ctx, c, "slow", object{"ms": 30000})
		time.Sleep(50 * time.Millisecond)
		must(handle.Cancel(ctx, "enough"))
		_, err := handle.Wait(ctx)
		same(codeOf(err), "CANCELLED")
	}},
	{"error", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		_, err := c.Submit(ctx, client.SubmitRequest{Agent: "no-such-agent"})
		same(codeOf(err), "AGENT_NOT_AVAILABLE")
		_, err = submit(ctx, c, "fail", nil).Wait(ctx)
		same(codeOf(err), "INTERNAL_ERROR")
		result, err := submit(ctx, c, "echo", 1).Wait(ctx)
		must(err)
		same(decoded(result.Output), any(1.0))
	}},
	{"idempotency", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		request := client.SubmitRequest{
			Agent:          "slow",
			Input:          object{"ms": 200},
			IdempotencyKey: fmt.Sprintf("key-%d", time.Now().UnixNano()),
		}
		first, err := c.Submit(ctx, request)
		must(err)
		// One client takes a second acceptance of a job that it knows for no answer: another one asks.
		other, _ := open(ctx, nil)
		second, err := other.Submit(ctx, request)
		must(err)
		same(second.ID(), first.ID())
		request.Input = object{"ms": 1}
		_, err = other.Submit(ctx, request)
		same(codeOf(err), "DUPLICATE_KEY")
		_, err = first.Wait(ctx)
		must(err)
	}},
	{"list", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		mine := map[string]bool{}
		for range 3 {
			handle := submit(ctx, c, "slow", object{"ms": 1500})
			drain(handle.Events())
			mine[handle.ID()] = true
		}
		cursor := ""
		for {
			filter := messages.ListJobsFilter{Status: []string{"running"}}
			page, err := c.ListJobs(ctx, client.ListJobsRequest{Filter: filter, Limit: 2, Cursor: cursor})
			must(err)
			for _, job := range page.Jobs {
				delete(mine, job.JobID)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		same(len(mine), 0)
	}},
	{"subscribe", func(ctx context.Context) {
		submitter, _ := open(ctx, nil)
		handle := submit(ctx, submitter, "chatter", object{"n": 10, "delay_ms": 30})
		drain(handle.Events())
		time.Sleep(100 * time.Millisecond)
		observer, _ := open(ctx, nil)
		subscription, err := observer.Subscribe(ctx, handle.ID(), client.SubscribeOptions{History: true})
		must(err)
		same(messagesOf(subscription.Events()), lines(10))
		must(subscription.Err())
	}},
	{"replay", func(ctx context.Context) {
		c, wire := open(ctx, nil)
		handle := submit(ctx, c, "chatter", object{"n": 5})
		messagesOf(handle.Events())
		last := c.HighestSeq()
		// It has no handles for jobs of before: only the number tells what came.
		untilSeq(takenUp(ctx, c, wire, last-3), last)
	}},
	{"resume", func(ctx context.Context) {
		c, wire := open(ctx, nil)
		handle := submit(ctx, c, "chatter", object{"n": 20, "delay_ms": 30})
		drain(handle.Events())
		time.Sleep(100 * time.Millisecond)
		untilSeq(takenUp(ctx, c, wire, c.HighestSeq()), 21)
	}},
	{"close", func(ctx context.Context) {
		c, _ := open(ctx, nil)
		must(c.Close(ctx))
	}},
}

func main() {
	for _, flow := range flows {
		report := map[string]string{"flow": flow.name, "outcome": "pass"}
		func() {
			ctx, cancel := context.WithTimeout(context.Background(), flowTimeout)
			defer cancel()
			defer func() {
				if problem := recover(); problem != nil {
					report["outcome"], report["reason"] = "fail", fmt.Sprint(problem)
				}
			}()
			flow.run(ctx)
		}()
		line, _ := json.Marshal(report)
		fmt.Println(string(line))
	}
}
