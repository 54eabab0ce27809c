// SPDX-License-Identifier: Apache-2.0

// An orchestrator's agent: makes what runs on this node equal to what is desired.  agent SOCKET FILE
//
// Like agent.py, on github.com/varlink/go; that one's head says what FILE is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/varlink/go/varlink"
)

type object map[string]interface{}

type container struct{ Id, Uid, State, Bundle, Type string }

type watched struct {
	Cursor           string
	Resync, Complete bool
	Snapshot, Events []container
	err              error
}

type agent struct {
	actual           map[string]container // by id
	bundles          map[string]string    // by uid
	cursor           string
	fresh            bool
	snapshot         map[string]container
	desired          map[string]string
	generation, told int64
	calls            *varlink.Connection
	lost             error
}

// call notes in a.lost that kapseld went away; what it refuses is seen by the watch and tried again.
func (a *agent) call(method string, in object, out interface{}) {
	err := a.calls.Call(context.Background(), "io.kapsel.Containers."+method, in, out)
	var refused *varlink.Error
	if errors.As(err, &refused) {
		log.Printf("%s %v: %v", method, in["id"], refused)
	} else if err != nil {
		a.lost = err
	}
}

// see takes one answer of Watch.
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
	var d struct {
		Generation int64
		Containers map[string]string
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		log.Fatal(err)
	}
	a.generation, a.desired = d.Generation, d.Containers
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
		if a.desired[id] != a.bundles[c.Uid] || c.State == "stopped" || c.State == "failed" {
			same = false // the uid: never a stranger who has taken the id since
			a.call("Delete", object{"id": id, "uid": c.Uid, "force": true}, nil)
		}
		same = same && c.State == "running"
	}
	for id, bundle := range a.desired {
		if c, there := a.actual[id]; !there || c.State == "created" {
			same = false
			a.call("Run", object{"id": id, "bundle": bundle, "request": fmt.Sprint("generation ", a.generation)}, nil)
		}
	}
	return same && a.lost == nil
}

// session goes on until kapseld goes away.
func (a *agent) session(socket, file string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch, err := varlink.NewConnection(ctx, "unix:"+socket)
	if err != nil {
		return
	}
	defer watch.Close()
	if a.calls, err = varlink.NewConnection(ctx, "unix:"+socket); err != nil {
		return
	}
	defer a.calls.Close()
	ask := map[bool]object{true: {}, false: {"cursor": a.cursor}}[a.cursor == ""]
	receive, err := watch.Send(ctx, "io.kapsel.Containers.Watch", ask, varlink.More)
	if err != nil {
		return
	}
	answers := make(chan watched)
	go func() {
		for ok := true; ok && ctx.Err() == nil; {
			var w watched
			_, w.err = receive(ctx, &w)
			ok = w.err == nil
			select {
			case answers <- w:
			case <-ctx.Done():
			}
		}
	}()
	for a.fresh, a.lost = false, nil; ; {
		select {
		case w := <-answers:
			if w.err != nil {
				return
			}
			a.see(w)
			continue // first all that is there
		case <-time.After(20 * time.Millisecond):
		}
		if a.load(file); a.fresh && a.reconcile() && a.told != a.generation {
			a.told = a.generation
			fmt.Println("converged", a.told)
		} else if a.lost != nil {
			return
		}
	}
}

func main() {
	a := agent{actual: map[string]container{}, bundles: map[string]string{}, snapshot: map[string]container{}}
	for {
		a.session(os.Args[1], os.Args[2])
		time.Sleep(50 * time.Millisecond)
	}
}
