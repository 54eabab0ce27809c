// SPDX-License-Identifier: Apache-2.0

// An orchestrator's agent: makes what runs on this node equal to what is desired.  agent SOCKET FILE
//
// FILE is JSON, replaced atomically: {"generation": 7, "containers": {"web": "/bundles/web", ...}}.  One connection
// watches, one changes.  kapseld may die at any time: calls are repeated, which is harmless, and the watch goes on
// from its cursor.  "converged 7" is printed when there is no difference to generation 7.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/varlink/go/varlink"
)

type container struct{ Id, Uid, State, Bundle, Type string }

type watched struct {
	Cursor           string
	Resync, Complete bool
	Snapshot, Events []container
}

type agent struct {
	actual                 map[string]container // by id
	bundles                map[string]string    // by uid
	cursor                 string
	fresh                  bool
	snapshot               map[string]container
	desired                map[string]string
	generation, told, read int64
	calls                  *varlink.Connection
}

type object map[string]interface{}

// call answers an error only when kapseld went away: what is refused is seen by the watch and tried again.
func (a *agent) call(method string, in object, out interface{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := a.calls.Call(ctx, "io.kapsel.Containers."+method, in, out)
	var refused *varlink.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Name[strings.LastIndex(refused.Name, ".")+1:] {
	case "NotFound", "WrongState", "AlreadyExists", "Busy":
	default:
		log.Printf("%s %v: %v", method, in["id"], refused)
	}
	return nil
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
	if w.Complete && !a.fresh {
		if len(w.Snapshot) > 0 || len(a.snapshot) > 0 || w.Resync || a.cursor == "" {
			a.actual, a.snapshot = a.snapshot, map[string]container{}
		}
		a.fresh = true
	}
	a.cursor = w.Cursor
}

func (a *agent) load(file string) error {
	text, err := os.ReadFile(file)
	var d struct {
		Generation int64
		Containers map[string]string
	}
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	a.generation, a.desired = d.Generation, d.Containers
	return err
}

// reconcile is one pass; true: nothing was different.
func (a *agent) reconcile() (bool, error) {
	same := true
	for id, c := range a.actual {
		bundle, known := a.bundles[c.Uid]
		if !known {
			var got struct{ Container container }
			if err := a.call("Get", object{"id": id, "uid": c.Uid}, &got); err != nil {
				return false, err
			}
			bundle, a.bundles[c.Uid] = got.Container.Bundle, got.Container.Bundle
		}
		if a.desired[id] != bundle || c.State == "stopped" || c.State == "failed" {
			same = false // the uid: never a stranger who has taken the id since
			if err := a.call("Delete", object{"id": id, "uid": c.Uid, "force": true}, nil); err != nil {
				return false, err
			}
		}
		same = same && c.State == "running"
	}
	for id, bundle := range a.desired {
		if c, there := a.actual[id]; !there || c.State == "created" {
			same = false
			request := fmt.Sprintf("generation %d", a.generation)
			if err := a.call("Run", object{"id": id, "bundle": bundle, "request": request}, nil); err != nil {
				return false, err
			}
		}
	}
	return same, nil
}

// session goes on until kapseld goes away.
func (a *agent) session(socket, file string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch, err := varlink.NewConnection(ctx, "unix:"+socket)
	if err != nil {
		return err
	}
	defer watch.Close()
	if a.calls, err = varlink.NewConnection(ctx, "unix:"+socket); err != nil {
		return err
	}
	defer a.calls.Close()
	ask := object{}
	if a.cursor != "" {
		ask["cursor"] = a.cursor
	}
	receive, err := watch.Send(ctx, "io.kapsel.Containers.Watch", ask, varlink.More)
	if err != nil {
		return err
	}
	answers, lost := make(chan watched), make(chan error, 1)
	go func() {
		for {
			var w watched
			if _, err := receive(ctx, &w); err != nil {
				lost <- err
				return
			}
			select {
			case answers <- w:
			case <-ctx.Done():
				return
			}
		}
	}()
	for a.fresh = false; ; {
		select {
		case w := <-answers:
			a.see(w)
			continue // first all that is there
		case err := <-lost:
			return err
		case <-time.After(20 * time.Millisecond):
		}
		if err := a.load(file); err != nil {
			log.Fatal(err)
		}
		if !a.fresh {
			continue
		}
		if same, err := a.reconcile(); err != nil {
			return err
		} else if same && a.told != a.generation {
			a.told = a.generation
			fmt.Println("converged", a.told)
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
