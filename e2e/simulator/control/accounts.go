package control

import (
	"net/http"

	"vch.dev/e2e/simulator/vcenter"
)

// accounts serves who may log in, who is logged in, and what they may do.
func accounts(mux *http.ServeMux, v *vcenter.VCenter) {
	mux.HandleFunc("PUT /logins", func(w http.ResponseWriter, r *http.Request) {
		var logins map[string]string
		if read(w, r, &logins) {
			done(w, v.Logins.Set(logins))
		}
	})
	mux.HandleFunc("DELETE /sessions", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]int{"ended": v.Logins.EndSessions(r.URL.Query().Get("user"))})
	})
	mux.HandleFunc("GET /privileges", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string][]string{"enforced": v.Privileges.Users()})
	})
	mux.HandleFunc("PUT /privileges", func(w http.ResponseWriter, r *http.Request) {
		var given struct {
			User string              `json:"user"`
			Role map[string][]string `json:"role"`
		}
		if read(w, r, &given) {
			done(w, v.Privileges.Set(given.User, given.Role))
		}
	})
	mux.HandleFunc("DELETE /privileges", func(w http.ResponseWriter, _ *http.Request) {
		v.Privileges.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
}
