package control

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vch.dev/e2e/simulator/vcenter"
)

// endpoint is a control endpoint of a vCenter of two hosts and two datastores.
type endpoint struct {
	*testing.T
	url string
}

func start(t *testing.T) endpoint {
	t.Helper()
	v, err := vcenter.Start(vcenter.Config{
		Listen: "127.0.0.1:0", User: "administrator", Password: "secret", StateDir: t.TempDir(),
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
		Inventory: vcenter.Inventory{Hosts: 2, Datastores: 2, HostCPUs: 4, HostMemoryMB: 2048},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(Handler(v))
	t.Cleanup(func() {
		server.Close()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return endpoint{t, server.URL}
}

// ask answers the status, and the body read as JSON if there is one.
func (e endpoint) ask(method, path, body string, into any) int {
	e.Helper()
	request, err := http.NewRequestWithContext(e.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.Fatal(err)
	}
	defer response.Body.Close()
	if into != nil {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			e.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return response.StatusCode
}

func TestHostsAreListedAndChanged(t *testing.T) {
	e := start(t)
	var hosts []struct {
		ID, Name, Cluster, State string
		MemoryMB, MemoryUsedMB   int
		VMs                      []string
	}
	list := func() {
		if status := e.ask("GET", "/hosts", "", &hosts); status != http.StatusOK || len(hosts) != 2 {
			t.Fatalf("%d: %+v", status, hosts)
		}
	}
	list()
	if hosts[0].Name != "DC0_C0_H0" || hosts[0].Cluster != "DC0_C0" || hosts[0].MemoryMB != 2048 || hosts[0].VMs == nil {
		t.Errorf("%+v", hosts[0])
	}
	for _, state := range []string{"maintenance", "connected", "disconnected", "connected", "lost"} {
		if status := e.ask("PUT", "/hosts/"+hosts[0].ID, `{"state": "`+state+`"}`, nil); status != http.StatusNoContent {
			t.Errorf("%s: %d", state, status)
		}
		if list(); hosts[0].State != state || hosts[1].State != "connected" {
			t.Errorf("after %s: %+v", state, hosts)
		}
	}
	if status := e.ask("PUT", "/hosts/"+hosts[0].ID, `{"state": "connected", "haRestart": true}`, nil); status != http.StatusConflict {
		t.Errorf("haRestart of a host that is connected: %d", status)
	}
}

func TestDatastoresAreListedAndChanged(t *testing.T) {
	e := start(t)
	var datastores []struct{ ID, Name, State string }
	e.ask("GET", "/datastores", "", &datastores)
	if len(datastores) != 2 || datastores[0].State != "normal" {
		t.Fatalf("%+v", datastores)
	}
	if status := e.ask("PUT", "/datastores/"+datastores[1].ID, `{"state": "full"}`, nil); status != http.StatusNoContent {
		t.Errorf("%d", status)
	}
	if e.ask("GET", "/datastores", "", &datastores); datastores[1].State != "full" || datastores[0].State != "normal" {
		t.Errorf("%+v", datastores)
	}
}

func TestModesAreLaidOverEachOther(t *testing.T) {
	e := start(t)
	var modes map[string]any
	if e.ask("PUT", "/modes", `{"events": "none", "exclusiveMs": 80}`, &modes); modes["events"] != "none" ||
		modes["exclusiveMs"] != 80.0 || modes["admission"] != true || modes["location"] != "reject" {
		t.Errorf("%v", modes)
	}
	for _, wrong := range []string{`{"events": "some"}`, `{"x": 1}`, `{`, ``} {
		if status := e.ask("PUT", "/modes", wrong, nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, status)
		}
	}
	e.ask("DELETE", "/modes", "", nil)
	if e.ask("GET", "/modes", "", &modes); modes["events"] != "full" || modes["admission"] != true {
		t.Errorf("%v", modes)
	}
}

func TestAccountsAreChanged(t *testing.T) {
	e := start(t)
	for _, call := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/logins", `{"operator": "new"}`, http.StatusNoContent},
		{"PUT", "/logins", `{}`, http.StatusConflict},
		{"PUT", "/logins", `[]`, http.StatusBadRequest},
		{"PUT", "/privileges", `{"user": "operator", "role": {"/DC0/vm": ["VirtualMachine.Provisioning.Clone"]}}`, http.StatusNoContent},
		{"PUT", "/privileges", `{"user": "operator", "role": {"/DC1": []}}`, http.StatusConflict},
		{"PUT", "/privileges", `{"role": {}}`, http.StatusConflict},
	} {
		if status := e.ask(call.method, call.path, call.body, nil); status != call.status {
			t.Errorf("%s %s %s: %d", call.method, call.path, call.body, status)
		}
	}
	var enforced struct{ Enforced []string }
	if e.ask("GET", "/privileges", "", &enforced); len(enforced.Enforced) != 1 {
		t.Errorf("%+v", enforced)
	}
	e.ask("DELETE", "/privileges", "", nil)
	if e.ask("GET", "/privileges", "", &enforced); len(enforced.Enforced) != 0 {
		t.Errorf("%+v", enforced)
	}
	var ended struct{ Ended int }
	if status := e.ask("DELETE", "/sessions?user=operator", "", &ended); status != http.StatusOK || ended.Ended != 0 {
		t.Errorf("%d, %+v", status, ended)
	}
}

func TestAScriptIsForGuestsThatAreThere(t *testing.T) {
	e := start(t)
	if got := e.ask(http.MethodPut, "/vms/vm-404/script", `{"lostMs":0}`, nil); got != http.StatusConflict {
		t.Errorf("a script for no VM is answered with %d", got)
	}
	if got := e.ask(http.MethodPut, "/script", `{"startMs":5}`, nil); got != http.StatusNoContent {
		t.Errorf("a script for all is answered with %d", got)
	}
}
