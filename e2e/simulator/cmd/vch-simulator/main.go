// Command vch-simulator is a vCenter whose VMs are real: see package vcenter,
// and the README beside the module.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vch.dev/e2e/simulator/control"
	"vch.dev/e2e/simulator/native"
	"vch.dev/e2e/simulator/vcenter"
)

type options struct {
	listen, control, stateDir, readyFile string
	qemuImage, nativeImage               string
	simulated                            string
	cgroups                              string
	user, password                       string
	logins                               logins
	inventory                            vcenter.Inventory
}

// logins are further users; the flag can be repeated.
type logins map[string]string

func (l logins) String() string { return "" } // no password is shown

// Set implements flag.Value.
func (l logins) Set(value string) error {
	user, password, ok := strings.Cut(value, ":")
	if !ok || user == "" || password == "" {
		return errors.New("write it as user:password")
	}
	l[user] = password
	return nil
}

// portGroups are what network cards can be on; the flag can be repeated.
type portGroups []vcenter.PortGroup

func (p *portGroups) String() string { return "" }

// Set implements flag.Value.
func (p *portGroups) Set(value string) error {
	name, rest, _ := strings.Cut(value, "=")
	bridge, option, optioned := strings.Cut(rest, ",")
	group := vcenter.PortGroup{Name: name, Bridge: bridge, Isolated: option == "isolated"}
	if number, ok := strings.CutPrefix(option, "vlan="); ok {
		vlan, err := strconv.ParseInt(number, 10, 32)
		if err == nil && 1 <= vlan && vlan <= 4094 {
			group.VLAN = int32(vlan)
		}
	}
	if name == "" || bridge == "" || optioned && !group.Isolated && group.VLAN == 0 {
		return errors.New("write it as NAME=BRIDGE, NAME=BRIDGE,isolated or NAME=BRIDGE,vlan=1 (to 4094)")
	}
	*p = append(*p, group)
	return nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == native.InitArgument {
		fmt.Fprintln(os.Stderr, "init:", native.Init())
		os.Exit(1)
	}
	o := options{logins: logins{}}
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8989", "address of the vSphere API")
	flag.StringVar(&o.control, "control", "127.0.0.1:0", "address of the control endpoint")
	flag.StringVar(&o.stateDir, "state-dir", "", "folder for the VMs' state (required)")
	flag.StringVar(&o.readyFile, "ready-file", "", "file that is written when the simulator serves")
	flag.Var((*portGroups)(&o.inventory.PortGroups), "port-group",
		"NAME=BRIDGE[,isolated|,vlan=N]: the bridge that network cards on a port group are on; can be repeated")
	flag.StringVar(&o.qemuImage, "qemu-image", "", "folder of the QEMU guest image; none: no qemu guests")
	flag.StringVar(&o.nativeImage, "native-image", "", "folder of the native guest image; none: no native guests")
	flag.StringVar(&o.simulated, "simulated", "",
		"address:port at which simulated guests are reached, at all addresses that are routed here; none: no such guests")
	flag.StringVar(&o.cgroups, "cgroups", "vch-simulator", "how the cgroups of native guests are called, before the VM's ID")
	flag.StringVar(&o.user, "user", "administrator", "user name to log in with")
	flag.StringVar(&o.password, "password", "vch", "password to log in with")
	flag.Var(o.logins, "login", "user:password that can log in too; can be repeated")
	flag.IntVar(&o.inventory.Clusters, "clusters", 1, "number of clusters")
	flag.IntVar(&o.inventory.Hosts, "hosts", 1, "number of hosts in each cluster")
	flag.IntVar(&o.inventory.Datastores, "datastores", 1, "number of datastores, which all hosts have")
	flag.IntVar(&o.inventory.HostCPUs, "host-cpus", 0, "processors of each host; 0: 2, and no limit to what it takes")
	flag.IntVar(&o.inventory.HostMemoryMB, "host-memory-mb", 0, "memory of each host; 0: 4 GB, and no limit to what it takes")
	flag.Parse()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "vch-simulator:", err)
		os.Exit(1)
	}
}

func run(o options, rest []string) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: there are options only, see --help", rest[0])
	case o.stateDir == "":
		return errors.New("--state-dir: name a folder")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if o.stateDir, err = filepath.Abs(o.stateDir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.stateDir, 0o700); err != nil {
		return err
	}
	backends, err := backends(o, log)
	if err != nil {
		return err
	}
	simulated, err := vcenter.Start(vcenter.Config{
		Listen: o.listen, User: o.user, Password: o.password, Logins: o.logins, Inventory: o.inventory,
		StateDir: filepath.Join(o.stateDir, "vms"), Backends: backends, Log: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, simulated.Close()) }()
	listener, err := net.Listen("tcp", o.control)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: control.Handler(simulated), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	if err := announce(o.readyFile, simulated, "http://"+listener.Addr().String()); err != nil {
		return err
	}
	log.Info("ready", "url", simulated.URL, "control", listener.Addr())
	log.Info("ending", "signal", <-stop)
	return nil
}

// announce writes the ready file, whole or not at all.
func announce(path string, simulated *vcenter.VCenter, controlURL string) error {
	if path == "" {
		return nil
	}
	content, err := json.Marshal(map[string]any{
		"url": simulated.URL, "control": controlURL, "thumbprint": simulated.Thumbprint, "pid": os.Getpid(),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
