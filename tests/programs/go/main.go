// Command main serves HTTP by net/http (PORT, ACCESS_LOG; SAY: a line on standard output a request), or, given a URL and a number, asks for it that often.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type line struct {
	Method       string  `json:"method"`
	Path         string  `json:"path"`
	Status       int     `json:"status"`
	RequestBody  int     `json:"request_body"`
	ResponseBody int     `json:"response_body"`
	Seconds      float64 `json:"seconds"`
}

func main() {
	if len(os.Args) == 3 {
		ask(os.Args[1], os.Args[2])
		return
	}
	log, err := os.OpenFile(os.Getenv("ACCESS_LOG"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		note := line{Method: r.Method, Path: r.RequestURI}
		if os.Getenv("SAY") != "" && !strings.HasPrefix(r.URL.Path, "/late/") {
			fmt.Println("handling " + r.RequestURI)
		}
		answer(w, r, &note)
		note.Seconds = time.Since(started).Seconds()
		text, _ := json.Marshal(note)
		log.Write(append(text, '\n'))
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), handler))
}

func ask(url, times string) {
	n, _ := strconv.Atoi(times)
	for range n {
		answer, err := http.Get(url)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

func answer(w http.ResponseWriter, r *http.Request, note *line) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	number := func(n int) int {
		if n >= len(parts) {
			return 0
		}
		value, _ := strconv.Atoi(parts[n])
		return value
	}
	whole := func(status int, body []byte) {
		note.Status = status
		if status != 204 && status != 304 {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(status)
		if status != 204 && status != 304 && r.Method != "HEAD" {
			w.Write(body)
			note.ResponseBody = len(body)
		}
		w.(http.Flusher).Flush() // everything is written when the time is taken
	}
	if parts[0] == "early" {
		w.Header().Set("Connection", "close")
		whole(413, []byte("no\n"))
		return
	}
	body, _ := io.ReadAll(r.Body)
	note.RequestBody = len(body)
	part := func(text string) {
		note.Status = 200
		note.ResponseBody += len(text)
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
	}
	switch parts[0] {
	case "ok":
		whole(200, []byte("ok\n"))
	case "status":
		whole(number(1), []byte("status\n"))
	case "sleep":
		time.Sleep(time.Duration(number(1)) * time.Millisecond)
		whole(200, []byte("slept\n"))
	case "late": // says it between two sleeps
		time.Sleep(time.Duration(number(1)) * time.Millisecond)
		fmt.Println("handling " + r.RequestURI)
		time.Sleep(time.Duration(number(1)) * time.Millisecond)
		whole(200, []byte("slept\n"))
	case "echo":
		whole(200, body)
	case "bytes":
		whole(200, []byte(strings.Repeat("x", number(1))))
	case "chunked":
		for _, text := range []string{"hello", " ", "world\n"} {
			part(text)
		}
	case "stream":
		for n := range number(1) {
			time.Sleep(time.Duration(number(2)) * time.Millisecond)
			part(fmt.Sprintf("data: %d\n\n", n))
		}
	case "call":
		other, err := http.Get(r.URL.Query().Get("url"))
		if err != nil {
			whole(502, []byte("failed\n"))
			return
		}
		defer other.Body.Close()
		text, _ := io.ReadAll(other.Body)
		whole(200, text)
	default:
		whole(404, []byte("none\n"))
	}
}
