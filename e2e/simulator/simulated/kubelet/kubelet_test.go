package kubelet

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cluster answers requests at once, and keeps what it was asked.
type cluster struct {
	mutex         sync.Mutex
	asked         []Request
	code          int
	away          bool
	lost, crashed chan struct{}
}

func (c *cluster) Request(request Request, answered func(code int)) bool {
	c.mutex.Lock()
	if c.away {
		c.mutex.Unlock()
		return false
	}
	c.asked = append(c.asked, request)
	code := c.code
	c.mutex.Unlock()
	answered(code)
	return true
}
func (c *cluster) Lost()  { close(c.lost) }
func (c *cluster) Crash() { close(c.crashed) }

// timers go off when a test says so, by their waits.
type timers struct {
	now     time.Time
	waiting []*timer
}
type timer struct {
	at time.Time
	do func()
}

func (t *timers) after(d time.Duration, do func()) func() bool {
	made := &timer{t.now.Add(d), do}
	t.waiting = append(t.waiting, made)
	return func() bool { made.do = func() {}; return true }
}

func (t *timers) pass(d time.Duration) {
	end := t.now.Add(d)
	for {
		slices.SortStableFunc(t.waiting, func(a, b *timer) int { return a.at.Compare(b.at) })
		if len(t.waiting) == 0 || t.waiting[0].at.After(end) {
			t.now = end
			return
		}
		next := t.waiting[0]
		t.waiting = t.waiting[1:]
		t.now = next.at
		next.do()
	}
}

type scene struct {
	*testing.T
	*Kubelet
	cluster *cluster
	timers  *timers
}

func play(t *testing.T) *scene {
	c := &cluster{code: 200, lost: make(chan struct{}), crashed: make(chan struct{})}
	clock := &timers{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	k := New(c, Clock{Now: func() time.Time { return clock.now }, After: clock.after}, Script{}, slog.New(slog.DiscardHandler))
	return &scene{t, k, c, clock}
}

func pod(t *testing.T, script string, over ...func(*Pod)) *Pod {
	t.Helper()
	made := new(Pod)
	text := `{"metadata":{"namespace":"ns","name":"web","uid":"u1","generation":1},
		"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"a:1"}]}}`
	if err := json.Unmarshal([]byte(text), made); err != nil {
		t.Fatal(err)
	}
	if script != "" {
		made.Metadata.Annotations = map[string]string{ScriptAnnotation: script}
	}
	for _, change := range over {
		change(made)
	}
	return made
}

func deleted(seconds int64) func(*Pod) {
	return func(p *Pod) {
		p.Metadata.DeletionTimestamp, p.Metadata.DeletionGracePeriodSeconds = &time.Time{}, &seconds
	}
}

// said are the verbs, and of statuses the phases, in their order.
func (s *scene) said() string {
	words := []string{}
	for _, request := range s.cluster.asked {
		word := request.Verb
		if word == "patchStatus" {
			word = status(request)["phase"].(string)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func status(request Request) object {
	text, _ := json.Marshal(request.Body)
	var body struct{ Status object }
	_ = json.Unmarshal(text, &body)
	return body.Status
}

func (s *scene) last() object { return status(s.cluster.asked[len(s.cluster.asked)-1]) }

func (s *scene) container() object {
	return s.last()["containerStatuses"].([]any)[0].(object)
}

func (s *scene) expect(want string) {
	s.Helper()
	if got := s.said(); got != want {
		s.Errorf("it said %q, not %q", got, want)
	}
}

func TestAPodRunsAtOnceAndOnePatchSaysSo(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, ""))
	s.expect("Running")
	if s.container()["ready"] != true || s.container()["restartCount"] != 0.0 {
		t.Errorf("its container: %v", s.container())
	}
	for _, each := range s.last()["conditions"].([]any) {
		if each.(object)["status"] != "True" {
			t.Errorf("%v", each)
		}
	}
}

func TestADeletedPodGetsItsFinalStatusThenTheDelete(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"stopMs":2000}`))
	s.Apply(pod(t, `{"stopMs":2000}`, deleted(10)))
	s.expect("Running")
	s.timers.pass(2 * time.Second)
	s.expect("Running Succeeded deletePod")
	body, _ := json.Marshal(s.cluster.asked[2].Body)
	if !strings.Contains(string(body), `"gracePeriodSeconds":0`) || !strings.Contains(string(body), `{"uid":"u1"}`) {
		t.Errorf("the delete is %s", body)
	}
	s.timers.pass(time.Hour)
	s.expect("Running Succeeded deletePod")
}

func TestWhatDoesNotStopWithinItsGraceIsKilled(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"stopMs":60000}`))
	s.Apply(pod(t, `{"stopMs":60000}`, deleted(60)))
	s.Apply(pod(t, `{"stopMs":60000}`, deleted(5))) // somebody is less patient
	s.timers.pass(5 * time.Second)
	s.expect("Running Failed deletePod")
}

func TestContainersAreCreatedRunAndExitAsTheScriptSays(t *testing.T) {
	for code, phase := range map[string]string{"0": "Succeeded", "3": "Failed"} {
		s := play(t)
		s.Apply(pod(t, `{"startMs":1000,"runMs":2000,"exitCode":`+code+`,"events":true}`))
		s.expect("Pending")
		s.timers.pass(time.Second)
		s.expect("Pending Running createEvent")
		s.timers.pass(2 * time.Second)
		s.expect("Pending Running createEvent " + phase)
	}
}

func TestContainersAreStartedAgainAsThePodSays(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"runMs":1000,"exitCode":1}`, func(p *Pod) { p.Spec.RestartPolicy = "Always" }))
	s.timers.pass(time.Second)
	s.expect("Running Running")
	if s.container()["restartCount"] != 1.0 {
		t.Errorf("%v", s.container())
	}
	s.timers.pass(time.Second)
	if waiting := s.container()["state"].(object)["waiting"].(object); waiting["reason"] != "CrashLoopBackOff" {
		t.Errorf("%v", waiting)
	}
	s.timers.pass(firstBackOff)
	if s.container()["restartCount"] != 2.0 {
		t.Errorf("%v", s.container())
	}
}

func TestAGuestThatBootsAgainStartsThemOnceMore(t *testing.T) {
	s := play(t)
	again := pod(t, "")
	text := `{"phase":"Running","containerStatuses":[{"restartCount":2,"containerID":"x"}]}`
	if err := json.Unmarshal([]byte(text), &again.Status); err != nil {
		t.Fatal(err)
	}
	s.Apply(again)
	if s.container()["restartCount"] != 3.0 {
		t.Errorf("%v", s.container())
	}
}

func TestWhatCouldNotBeSaidIsSaidWhenAProviderIsBack(t *testing.T) {
	s := play(t)
	s.cluster.away = true
	s.Apply(pod(t, ""))
	s.expect("")
	s.cluster.away = false
	s.Connected()
	s.expect("Running")
	s.cluster.code = 503
	s.Apply(pod(t, "", deleted(0)))
	s.cluster.code = 200
	s.timers.pass(again)
	s.expect("Running Succeeded Succeeded deletePod")
}

func TestARemovedPodIsForgotten(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"runMs":1000}`))
	s.Remove()
	s.timers.pass(time.Minute)
	s.expect("Running")
}

func TestLostAndCrashedAreTheGuestsBusiness(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"lostMs":10,"crashMs":20}`))
	s.timers.pass(time.Second)
	<-s.cluster.lost
	<-s.cluster.crashed
}

func TestAWrongScriptIsNamedAndAVMsScriptLaidUnder(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"runs":1}`))
	if s.last()["reason"] != "BadScript" || !strings.Contains(s.last()["message"].(string), "runs") {
		t.Errorf("%v", s.last())
	}
	s = play(t)
	second := 1000
	s.Follow(Script{RunMs: &second, ExitCode: 7})
	s.Apply(pod(t, `{"exitCode":0}`))
	s.timers.pass(time.Second)
	s.expect("Running Succeeded")
	s = play(t)
	s.Apply(pod(t, ""))
	s.Follow(Script{RunMs: &second, ExitCode: 7})
	s.timers.pass(time.Second)
	s.expect("Running Failed")
}

func TestItsAPIIsTrueToThePod(t *testing.T) {
	s := play(t)
	get := func(path string) (int, string) {
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		return recorder.Code, recorder.Body.String()
	}
	s.Apply(pod(t, ""))
	s.timers.pass(10 * time.Second)
	for path, want := range map[string]string{
		"/healthz":                    "ok",
		"/containerLogs/ns/web/main":  "simulated container main started at 2026-01-02T03:04:05Z",
		"/metrics/resource":           `container_cpu_usage_seconds_total{container="main",namespace="ns",pod="web"} 0.01`,
		"/stats/summary":              `"podRef":{"name":"web","namespace":"ns","uid":"u1"}`,
		"/containerLogs/ns/web/other": "no such container",
	} {
		if _, body := get(path); !strings.Contains(body, want) {
			t.Errorf("%s: %s", path, body)
		}
	}
	if code, _ := get("/exec/ns/web/main"); code != http.StatusNotImplemented {
		t.Errorf("exec is answered with %d", code)
	}
}

func TestFollowedLogsEndWithTheContainer(t *testing.T) {
	s := play(t)
	s.Apply(pod(t, `{"runMs":1000}`))
	server := httptest.NewServer(s)
	defer server.Close()
	response, err := http.Get(server.URL + "/containerLogs/ns/web/main?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := make([]byte, 4096)
	read, _ := response.Body.Read(text)
	s.timers.pass(time.Second)
	for {
		n, err := response.Body.Read(text[read:])
		if read += n; err != nil {
			break
		}
	}
	if got := string(text[:read]); !strings.Contains(got, "started") || !strings.Contains(got, "ended with 0") {
		t.Errorf("%s", got)
	}
}
