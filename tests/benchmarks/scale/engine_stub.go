// An engine that is never the bottleneck: it always has external tasks of one topic, takes every verdict, and keeps no
// more of a task than who holds it. What it answers is what a stock engine answers, as far as a bridge asks.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	root     = "/engine-rest"
	instant  = "2006-01-02T15:04:05.000-0700"
	instance = "instance"
)

type held struct {
	holder  string
	expires time.Time
}

type engine struct {
	topic string

	mutex                     sync.Mutex
	fetched, completed, again int
	open                      map[string]held
	parked                    map[string]chan struct{}
}

type fetch struct {
	WorkerID             string
	MaxTasks             int
	AsyncResponseTimeout int64
	Topics               []struct {
		TopicName    string
		LockDuration int64
	}
}

type query struct {
	WorkerID         string
	ExternalTaskIDIn []string
}

type verdict struct {
	WorkerID    string
	NewDuration int64
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	topic := flag.String("topic", "bench", "the topic that always has tasks")
	flag.Parse()
	stub := &engine{topic: *topic, open: map[string]held{}, parked: map[string]chan struct{}{}}
	log.Fatal(http.ListenAndServe(*listen, stub))
}

func (stub *engine) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	path := strings.TrimPrefix(request.URL.Path, root)
	switch {
	case path == "/version":
		write(answer, 200, map[string]string{"version": "7.24.0"})
	case path == "/message":
		refuse(answer, 400, "Cannot correlate message: nobody waits for it")
	case path == "/stats":
		write(answer, 200, stub.stats())
	case path == "/external-task/topic-names":
		write(answer, 200, []string{})
	case path == "/external-task/fetchAndLock":
		stub.fetchAndLock(answer, request)
	case path == "/external-task":
		stub.list(answer, request)
	case strings.HasPrefix(path, "/external-task/"):
		stub.one(answer, request, strings.Split(strings.TrimPrefix(path, "/external-task/"), "/"))
	case strings.HasSuffix(path, "/count"):
		write(answer, 200, map[string]int{"count": 0})
	default:
		write(answer, 200, []string{})
	}
}

func (stub *engine) stats() map[string]int {
	stub.mutex.Lock()
	defer stub.mutex.Unlock()
	return map[string]int{
		"fetched": stub.fetched, "completed": stub.completed, "again": stub.again, "open": len(stub.open),
	}
}

func (stub *engine) fetchAndLock(answer http.ResponseWriter, request *http.Request) {
	var asked fetch
	if json.NewDecoder(request.Body).Decode(&asked) != nil {
		refuse(answer, 400, "Cannot read the request")
		return
	}
	for _, topic := range asked.Topics {
		if topic.TopicName == stub.topic {
			write(answer, 200, stub.lock(asked, time.Duration(topic.LockDuration)*time.Millisecond))
			return
		}
	}
	stub.park(request, asked)
	write(answer, 200, []string{})
}

// park waits as long as the poll may, or until another poll comes under the same worker id.
func (stub *engine) park(request *http.Request, asked fetch) {
	ended := make(chan struct{})
	stub.mutex.Lock()
	if before, found := stub.parked[asked.WorkerID]; found {
		close(before)
	}
	stub.parked[asked.WorkerID] = ended
	stub.mutex.Unlock()
	select {
	case <-time.After(time.Duration(asked.AsyncResponseTimeout) * time.Millisecond):
	case <-request.Context().Done():
	case <-ended:
		return
	}
	stub.mutex.Lock()
	if stub.parked[asked.WorkerID] == ended {
		delete(stub.parked, asked.WorkerID)
	}
	stub.mutex.Unlock()
}

func (stub *engine) lock(asked fetch, duration time.Duration) []map[string]interface{} {
	expires := time.Now().Add(duration)
	tasks := make([]map[string]interface{}, 0, asked.MaxTasks)
	stub.mutex.Lock()
	defer stub.mutex.Unlock()
	for len(tasks) < asked.MaxTasks {
		stub.fetched++
		id := fmt.Sprintf("task-%d", stub.fetched)
		stub.open[id] = held{asked.WorkerID, expires}
		tasks = append(tasks, stub.task(id, stub.open[id]))
	}
	return tasks
}

func (stub *engine) task(id string, lock held) map[string]interface{} {
	return map[string]interface{}{
		"id": id, "topicName": stub.topic, "processInstanceId": instance + id, "processDefinitionKey": "bench",
		"activityId": "step", "workerId": lock.holder, "lockExpirationTime": lock.expires.Format(instant),
		"retries": nil, "suspended": false, "priority": 0, "businessKey": nil,
		"variables": map[string]interface{}{
			"number": map[string]interface{}{"type": "Integer", "value": 1, "valueInfo": map[string]string{}},
		},
		"extensionProperties": map[string]string{},
	}
}

func (stub *engine) list(answer http.ResponseWriter, request *http.Request) {
	var asked query
	json.NewDecoder(request.Body).Decode(&asked)
	tasks := []map[string]interface{}{}
	stub.mutex.Lock()
	for _, id := range asked.ExternalTaskIDIn {
		if lock, found := stub.open[id]; found {
			tasks = append(tasks, stub.task(id, lock))
		}
	}
	if asked.WorkerID != "" {
		held := []string{}
		for id, lock := range stub.open {
			if lock.holder == asked.WorkerID {
				held = append(held, id)
			}
		}
		sort.Strings(held)
		for _, id := range page(held, request.URL.Query()) {
			tasks = append(tasks, stub.task(id, stub.open[id]))
		}
	}
	stub.mutex.Unlock()
	write(answer, 200, tasks)
}

// page returns the part of a list that was asked for.
func page(ids []string, query url.Values) []string {
	first, _ := strconv.Atoi(query.Get("firstResult"))
	most, err := strconv.Atoi(query.Get("maxResults"))
	if err != nil {
		most = len(ids)
	}
	first = min(first, len(ids))
	return ids[first:min(first+most, len(ids))]
}

func (stub *engine) one(answer http.ResponseWriter, request *http.Request, parts []string) {
	var told verdict
	json.NewDecoder(request.Body).Decode(&told)
	id, verb := parts[0], ""
	if len(parts) > 1 {
		verb = parts[1]
	}
	stub.mutex.Lock()
	defer stub.mutex.Unlock()
	lock, found := stub.open[id]
	if !found {
		if verb == "complete" {
			stub.again++
		}
		refuse(answer, 404, "External task with id "+id+" does not exist")
		return
	}
	switch verb {
	case "":
		write(answer, 200, stub.task(id, lock))
		return
	case "extendLock":
		lock.expires = time.Now().Add(time.Duration(told.NewDuration) * time.Millisecond)
		stub.open[id] = lock
	case "complete":
		stub.completed++
		delete(stub.open, id)
	case "unlock":
		// It would be offered again: another takes its place, under another name.
		delete(stub.open, id)
	}
	answer.WriteHeader(204)
}

func refuse(answer http.ResponseWriter, status int, message string) {
	write(answer, status, map[string]interface{}{"type": "RestException", "message": message, "code": nil})
}

func write(answer http.ResponseWriter, status int, document interface{}) {
	answer.Header().Set("Content-Type", "application/json")
	answer.WriteHeader(status)
	json.NewEncoder(answer).Encode(document)
}
