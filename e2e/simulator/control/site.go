package control

import (
	"encoding/json"
	"net/http"

	"github.com/vmware/govmomi/simulator"

	"vch.dev/e2e/simulator/vcenter"
)

// site serves hosts, datastores, and how all of it behaves.
func site(mux *http.ServeMux, v *vcenter.VCenter) {
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) { answer(w, v.Site.Hosts()) })
	mux.HandleFunc("PUT /hosts/{id}", func(w http.ResponseWriter, r *http.Request) {
		var change simulator.HostChange
		if read(w, r, &change) {
			done(w, v.Site.ChangeHost(r.PathValue("id"), change))
		}
	})
	mux.HandleFunc("GET /datastores", func(w http.ResponseWriter, _ *http.Request) { answer(w, v.Site.Datastores()) })
	mux.HandleFunc("PUT /datastores/{id}", func(w http.ResponseWriter, r *http.Request) {
		var change struct {
			State string `json:"state"`
		}
		if read(w, r, &change) {
			done(w, v.Site.ChangeDatastore(r.PathValue("id"), change.State))
		}
	})
	mux.HandleFunc("GET /modes", func(w http.ResponseWriter, _ *http.Request) { answer(w, simulator.CurrentModes()) })
	mux.HandleFunc("PUT /modes", func(w http.ResponseWriter, r *http.Request) {
		var over json.RawMessage
		if !read(w, r, &over) {
			return
		}
		modes, err := v.Site.ChangeModes(over)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, modes)
	})
	mux.HandleFunc("DELETE /modes", func(w http.ResponseWriter, _ *http.Request) {
		v.Site.ResetModes()
		w.WriteHeader(http.StatusNoContent)
	})
}
