// The least an external-task client can do, and what fills the engine for everybody: the standard library alone.
//
//	raw work  -rest URL -topic T -completers 16 -seconds 0 -runs FILE
//	raw start -rest URL -key K -count 3000 -parallel 8
//
// "work" is one long-polling loop and a pool that works and completes, over connections that stay open, until it is
// ended. "start" starts instances, each with one integer.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	pollMilliseconds = 5000
	lockMilliseconds = 60000
	connections      = 600
	pauseAfterError  = 100 * time.Millisecond
)

type value struct {
	Value any    `json:"value"`
	Type  string `json:"type"`
}

type task struct {
	ID        string           `json:"id"`
	Variables map[string]value `json:"variables"`
}

type client struct {
	rest, worker string
	http         *http.Client
}

func main() {
	if len(os.Args) < 2 {
		fail("usage: raw work|start …")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	rest := flags.String("rest", "", "REST root of the engine")
	topic := flags.String("topic", "", "topic to work on")
	completers := flags.Int("completers", 16, "tasks worked on at once")
	largest := flags.Int("max-tasks", 100, "tasks of one fetch")
	seconds := flags.Float64("seconds", 0, "how long a task takes")
	runs := flags.String("runs", "", "file that gets a line for each task begun")
	key := flags.String("key", "", "definition to start")
	count := flags.Int("count", 0, "instances to start")
	parallel := flags.Int("parallel", 8, "instances started at once")
	_ = flags.Parse(os.Args[2:])
	engine := newClient(*rest)
	switch os.Args[1] {
	case "work":
		engine.work(*topic, *completers, *largest, time.Duration(*seconds*float64(time.Second)), *runs)
	case "start":
		engine.start(*key, *count, *parallel)
	default:
		fail("unknown command " + os.Args[1])
	}
}

func newClient(rest string) *client {
	transport := &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections}
	return &client{
		rest:   rest,
		worker: "raw-" + strconv.Itoa(os.Getpid()),
		http:   &http.Client{Transport: transport, Timeout: time.Minute},
	}
}

// work fetches for as long as the process lives; a full pool makes the loop wait.
func (c *client) work(topic string, completers, largest int, pause time.Duration, runs string) {
	fetched := make(chan task, largest)
	for begun := 0; begun < completers; begun++ {
		go c.complete(fetched, pause, runs)
	}
	question := map[string]any{
		"workerId":             c.worker,
		"maxTasks":             largest,
		"asyncResponseTimeout": pollMilliseconds,
		"topics": []map[string]any{
			{"topicName": topic, "lockDuration": lockMilliseconds, "deserializeValues": false},
		},
	}
	for {
		var tasks []task
		if err := c.post("/external-task/fetchAndLock", question, &tasks); err != nil {
			time.Sleep(pauseAfterError)
			continue
		}
		for _, one := range tasks {
			fetched <- one
		}
	}
}

func (c *client) complete(fetched <-chan task, pause time.Duration, runs string) {
	for one := range fetched {
		if runs != "" {
			note(runs, one.ID)
		}
		time.Sleep(pause)
		answer := map[string]any{
			"workerId":  c.worker,
			"variables": map[string]value{"answer": {Value: fmt.Sprint(one.Variables["number"].Value), Type: "String"}},
		}
		if err := c.post("/external-task/"+one.ID+"/complete", answer, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func (c *client) start(key string, count, parallel int) {
	numbers := make(chan int, count)
	for number := 0; number < count; number++ {
		numbers <- number
	}
	close(numbers)
	var starters sync.WaitGroup
	for begun := 0; begun < parallel; begun++ {
		starters.Add(1)
		go func() {
			defer starters.Done()
			for number := range numbers {
				order := map[string]any{"variables": map[string]value{"number": {Value: number, Type: "Integer"}}}
				if err := c.post("/process-definition/key/"+key+"/start", order, nil); err != nil {
					fail(err.Error())
				}
			}
		}()
	}
	starters.Wait()
}

func (c *client) post(path string, question any, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	response, err := c.http.Post(c.rest+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// Read to its end: only then may the connection serve the next call.
	words, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s: %d %s", path, response.StatusCode, words)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(words, answer)
}

func note(runs, id string) {
	file, err := os.OpenFile(runs, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		fail(err.Error())
	}
	defer file.Close()
	if _, err := file.WriteString(id + "\n"); err != nil {
		fail(err.Error())
	}
}

func fail(words string) {
	fmt.Fprintln(os.Stderr, words)
	os.Exit(1)
}
