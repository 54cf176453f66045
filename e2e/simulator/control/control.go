// Package control is the simulator's control endpoint: what vSphere's API does
// not tell (processes, memory, timings, counted calls) and what nobody should
// be able to ask for there (faults, crashes, playing the guest of a VM that has
// none). HTTP and JSON, for loopback only.
package control

import (
	"encoding/json"
	"net/http"

	"vch.dev/e2e/simulator/vcenter"
)

// Handler serves the control endpoint of a vCenter.
func Handler(v *vcenter.VCenter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /vms", func(w http.ResponseWriter, _ *http.Request) { answer(w, v.Machines.Describe()) })
	mux.HandleFunc("POST /vms/{id}/kill", func(w http.ResponseWriter, r *http.Request) {
		done(w, v.Machines.Kill(r.PathValue("id")))
	})
	mux.HandleFunc("POST /vms/{id}/freeze", func(w http.ResponseWriter, r *http.Request) {
		done(w, v.Machines.PlayFrozen(r.PathValue("id")))
	})
	mux.HandleFunc("POST /vms/{id}/guestinfo", func(w http.ResponseWriter, r *http.Request) {
		var values map[string]string
		if read(w, r, &values) {
			done(w, v.Machines.PlayGuestinfo(r.PathValue("id"), values))
		}
	})
	mux.HandleFunc("PUT /vms/{id}/script", func(w http.ResponseWriter, r *http.Request) {
		var script json.RawMessage
		if read(w, r, &script) {
			done(w, v.Machines.Script(r.PathValue("id"), script))
		}
	})
	mux.HandleFunc("PUT /script", func(w http.ResponseWriter, r *http.Request) {
		var script json.RawMessage
		if read(w, r, &script) {
			done(w, v.Machines.ScriptAll(script))
		}
	})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) { answer(w, v.Faults.Calls()) })
	mux.HandleFunc("POST /calls/reset", func(w http.ResponseWriter, _ *http.Request) {
		v.Faults.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, v.Faults.Rules()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var rule vcenter.Fault
		if !read(w, r, &rule) {
			return
		}
		id, err := v.Faults.Add(rule)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, map[string]string{"id": id})
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		v.Faults.Remove(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
	})
	site(mux, v)
	accounts(mux, v)
	return mux
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func done(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
