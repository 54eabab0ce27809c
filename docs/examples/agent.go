// SPDX-License-Identifier: Apache-2.0
// An orchestrator's agent: makes what runs on this node equal to what is desired.  agent SOCKET FILE
// As agent.py, whose head says what FILE is, but on github.com/varlink/go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/varlink/go/varlink"
	"log"
	"os"
	"time"
)

type object map[string]interface{}
type container struct{ Id, Uid, State, Bundle, Type string }
type watched struct {
	Cursor           string
	Resync, Complete bool
	Snapshot, Events []container
	err              error
}
type wanted struct {
	Generation int64
	Containers map[string]string
}
type agent struct {
	wanted
	told             int64
	actual, snapshot map[string]container // by id
	bundles          map[string]string    // by uid
	cursor           string
	fresh, lost      bool
	calls            *varlink.Connection
}

// call notes in a.lost that kapseld went away; what it refuses is seen by the watch and tried again.
func (a *agent) call(method string, in object, out interface{}) {
	err := a.calls.Call(context.Background(), "io.kapsel.Containers."+method, in, out)
	if errors.As(err, new(*varlink.Error)) {
		log.Printf("%s %v: %v", method, in["id"], err)
	} else if err != nil {
		a.lost = true
	}
}

func (a *agent) see(w watched) {
	if w.Resync {
		a.snapshot = map[string]container{}
	}
	for _, c := range w.Snapshot {
		a.snapshot[c.Id], a.bundles[c.Uid] = c, c.Bundle
	}
	for _, e := range w.Events {
		if e.Type == "removed" || e.Type == "failed" {
			delete(a.actual, e.Id)
			delete(a.bundles, e.Uid)
		} else if e.Id != "" && e.State != "" {
			a.actual[e.Id] = e
		}
	}
	if w.Complete && !a.fresh && (len(a.snapshot) > 0 || w.Resync || a.cursor == "") {
		a.actual, a.snapshot = a.snapshot, map[string]container{}
	}
	a.fresh, a.cursor = a.fresh || w.Complete, w.Cursor
}

func (a *agent) load(file string) {
	text, err := os.ReadFile(file)
	a.wanted = wanted{}
	if err != nil || json.Unmarshal(text, &a.wanted) != nil {
		log.Fatal(file, ": cannot be read")
	}
}

// reconcile is one pass; true: nothing was different.
func (a *agent) reconcile() bool {
	same := true
	for id, c := range a.actual {
		if _, known := a.bundles[c.Uid]; !known {
			var got struct{ Container container }
			a.call("Get", object{"id": id, "uid": c.Uid}, &got)
			a.bundles[c.Uid] = got.Container.Bundle
		}
		if a.Containers[id] != a.bundles[c.Uid] || c.State == "stopped" || c.State == "failed" {
			same = false // the uid: never a stranger who has taken the id since
			a.call("Delete", object{"id": id, "uid": c.Uid, "force": true}, nil)
		}
		same = same && c.State == "running"
	}
	for id, bundle := range a.Containers {
		if c, there := a.actual[id]; !there || c.State == "created" {
			same = false
			a.call("Run", object{"id": id, "bundle": bundle, "request": fmt.Sprint("generation ", a.Generation)}, nil)
		}
	}
	return same && !a.lost
}

// session goes on until kapseld goes away.
func (a *agent) session(socket, file string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch, err := varlink.NewConnection(ctx, "unix:"+socket)
	if err == nil {
		defer watch.Close()
		a.calls, err = varlink.NewConnection(ctx, "unix:"+socket)
	}
	if err != nil {
		return
	}
	defer a.calls.Close()
	ask := map[bool]object{true: {}, false: {"cursor": a.cursor}}[a.cursor == ""]
	receive, err := watch.Send(ctx, "io.kapsel.Containers.Watch", ask, varlink.More)
	answers := make(chan watched)
	go func() {
		for err == nil && ctx.Err() == nil {
			var w watched
			_, w.err = receive(ctx, &w)
			select {
			case answers <- w:
			case <-ctx.Done():
			}
		}
	}()
	for a.fresh, a.lost = false, err != nil; !a.lost; {
		select {
		case w := <-answers:
			if w.err != nil {
				return
			}
			a.see(w)
			continue // first all that is there
		case <-time.After(20 * time.Millisecond):
		}
		if a.load(file); a.fresh && a.reconcile() && a.told != a.Generation {
			a.told = a.Generation
			fmt.Println("converged", a.told)
		}
	}
}

func main() {
	a := agent{actual: map[string]container{}, bundles: map[string]string{}, snapshot: map[string]container{}}
	for ; ; time.Sleep(50 * time.Millisecond) {
		a.session(os.Args[1], os.Args[2])
	}
}
