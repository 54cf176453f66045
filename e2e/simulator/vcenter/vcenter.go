// Package vcenter is the simulated vCenter: govmomi's vcsim as a library, with
// one datacenter of clusters and no VMs, whose VMs have guests.
//
// InstantClone_Task, the tasks that start and end guests, and what becomes of
// hosts are not here but in ../_overlay, which is compiled into govmomi's
// package.
package vcenter

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

// APIVersion is what pyVmomi negotiates by; it refuses InstantClone below 6.7.
const APIVersion = "8.0.3.0"

// Config of a VCenter.
type Config struct {
	Listen   string // host:port
	User     string
	Password string
	Logins   map[string]string // passwords of further users
	StateDir string            // folders of VMs, one each; removed at the end
	Backends []guest.Backend
	Log      *slog.Logger
	Inventory
}

// VCenter is a running simulated vCenter. There can be one in a process.
type VCenter struct {
	URL        string
	Thumbprint string // SHA-256, colon separated
	Machines   *Machines
	Faults     *Faults
	Site       *Site
	Logins     *Logins
	Privileges *Privileges

	model  *simulator.Model
	server *http.Server
	stop   context.CancelFunc
}

// Start makes the inventory and serves it.
func Start(config Config) (*VCenter, error) {
	model, err := config.Inventory.build()
	if err != nil {
		return nil, err
	}
	service := model.Service
	modes := simulator.DefaultModes()
	modes.Admission = config.Inventory.sized()
	if err := simulator.SetModes(modes); err != nil {
		return nil, err
	}
	working, stop := context.WithCancel(context.Background())
	simulator.KeepLedger(working, service.Context)
	info := newInfoStore()
	service.Context.Map.AddHandler(info)
	machines := newMachines(config, service.Context, info)
	simulator.Guests = machines
	if instance, ok := service.Context.Map.Get(serviceInstance).(*simulator.ServiceInstance); ok {
		about := &instance.Content.About
		about.ApiVersion, about.Version = APIVersion, "8.0.3"
		about.FullName = "VMware vCenter Server 8.0.3 (vch-simulator)"
	}

	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		stop()
		model.Remove()
		return nil, err
	}
	certificate, thumbprint, err := selfSigned(listener.Addr())
	if err != nil {
		stop()
		return nil, errors.Join(err, listener.Close())
	}
	secured := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	handler := endpoints(service, config, listener.Addr(), secured)
	vcenter := &VCenter{
		URL:        "https://" + listener.Addr().String() + "/sdk",
		Thumbprint: thumbprint,
		Machines:   machines,
		Faults:     newFaults(config.Log),
		Site:       &Site{ctx: service.Context, defaultModes: modes},
		Logins:     newLogins(service.Context, config),
		Privileges: &Privileges{ctx: service.Context},
		model:      model,
		stop:       stop,
	}
	service.Context.Map.SessionManager().ValidLogin = vcenter.Logins.valid
	service.Context.Map.Handler = vcenter.Privileges.check
	simulator.Granted = vcenter.Privileges.has
	vcenter.server = &http.Server{
		Handler:           vcenter.Faults.front(machines.measured(handler)),
		TLSConfig:         secured,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1, as vCenter
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := vcenter.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			config.Log.Error("vCenter stopped serving", "error", err)
		}
	}()
	return vcenter, nil
}

// Close stops serving and ends the guests.
func (v *VCenter) Close() error {
	v.stop()
	err := errors.Join(v.server.Close(), v.Machines.Close())
	v.model.Remove()
	return err
}

var serviceInstance = types.ManagedObjectReference{Type: "ServiceInstance", Value: "ServiceInstance"}

// endpoints registers vcsim's handlers. Its own server, which comes with that,
// is closed at once: ours has the faults in front of the handlers.
func endpoints(service *simulator.Service, config Config, at net.Addr, secured *tls.Config) http.Handler {
	service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(config.User, config.Password)}
	service.RegisterEndpoints = true
	service.NewServer().Close()
	service.Listen.Scheme, service.Listen.Host = "https", at.String()
	sessions := service.Context.Map.SessionManager()
	sessions.ServiceHostName = at.String()
	sessions.TLS = func() *tls.Config { return secured }
	service.Context.Map.OptionManager().UpdateOptions(&types.UpdateOptions{
		ChangedValue: []types.BaseOptionValue{&types.OptionValue{
			Key: "vcsim.server.url", Value: "https://" + at.String() + "/sdk",
		}},
	})
	return service.ServeMux
}
