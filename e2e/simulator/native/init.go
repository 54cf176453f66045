package native

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// InitArgument is the program's first argument when it is a guest's init.
const InitArgument = "native-init"

// configFile is the file descriptor that the configuration is read from.
const configFile = 3

// initConfig is what init is told.
type initConfig struct {
	Image  string `json:"image"`
	Data   string `json:"data"`   // folder that outlives a power cycle
	Root   string `json:"root"`   // mount point for the guest's file tree
	Socket string `json:"socket"` // of the simulator's RPC
	Cgroup string `json:"cgroup"` // that the kubelet's go below
}

const (
	notifySocket = "/run/notify"
	kubeletArgs  = "/run/vch/kubelet.env"
	proxyArgs    = "/run/vch/kube-proxy.env"
	gateway      = "/run/netns/vch-gateway"
)

// Init is the first process of a guest: it makes the guest's file tree and
// supervises its services until it is killed. It returns only an error.
func Init() error {
	var config initConfig
	file := os.NewFile(configFile, "configuration")
	if err := json.NewDecoder(file).Decode(&config); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	_ = file.Close()
	if err := enterTree(config); err != nil {
		return err
	}
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notifySocket, Net: "unixgram"})
	if err != nil {
		return err
	}
	path := imageMount + ":" + os.Getenv("PATH")
	if err := os.Setenv("PATH", path); err != nil { // where programs are looked for
		return err
	}
	super := newSupervisor([]string{"PATH=" + path, "LANG=C.UTF-8", "HOME=/root"})
	go func() { // meanwhile run collects, and starts again, what dies before the agent is ready
		if err := untilReady(notified); err != nil {
			fmt.Fprintln(os.Stderr, "init:", err)
			return
		}
		super.keep(service{
			name: "kubelet", pause: 500 * time.Millisecond,
			command: func() ([]string, error) {
				arguments, err := readArguments(kubeletArgs)
				return append([]string{"kubelet"}, arguments...), err
			},
		})
		if _, err := os.Stat(proxyArgs); err != nil {
			return // Services are not this guest's to route
		}
		super.keep(service{
			name: "kube-proxy", pause: 500 * time.Millisecond,
			command: func() ([]string, error) {
				arguments, err := readArguments(proxyArgs)
				return append([]string{"nsenter", "--net=" + gateway, "kube-proxy"}, arguments...), err
			},
		})
	}()
	super.keep(service{
		name: "containerd", pause: 500 * time.Millisecond,
		command: func() ([]string, error) {
			return []string{"containerd", "--config", filepath.Join(imageMount, imageContainerd)}, nil
		},
	})
	super.keep(service{
		name: "vch-agent", pause: 250 * time.Millisecond,
		environment: []string{
			"PYTHONPATH=" + filepath.Join(imageMount, imageAgent), "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
			"VCH_PLATFORM=native", "VCH_NIC=" + nicName + "0", "VCH_POD_NIC=" + nicName + "1", "VCH_CGROUP_ROOT=" + config.Cgroup,
			"NOTIFY_SOCKET=" + notifySocket, "VMWARE_RPC_SOCKET=" + rpcSocket,
		},
		command: func() ([]string, error) { return []string{"python3", "-m", "vch_agent"}, nil },
	})
	return super.run()
}

// untilReady returns when the agent says that the kubelet may start. What it
// says later is read and dropped, so that it is never held up.
func untilReady(notified *net.UnixConn) error {
	message := make([]byte, 4096)
	for {
		n, err := notified.Read(message)
		if err != nil {
			return fmt.Errorf("%s: %w", notifySocket, err)
		}
		if !saysReady(string(message[:n])) {
			continue
		}
		go func() {
			rest := make([]byte, 4096)
			for {
				if _, err := notified.Read(rest); err != nil {
					return
				}
			}
		}()
		return nil
	}
}

func saysReady(message string) bool {
	for line := range strings.Lines(message) {
		if strings.TrimSpace(line) == "READY=1" {
			return true
		}
	}
	return false
}

// readArguments reads what systemd would as an EnvironmentFile, of one variable.
func readArguments(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name, value, _ := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !strings.HasSuffix(name, "_ARGS") {
		return nil, fmt.Errorf("%s: …_ARGS= is missing", path)
	}
	return strings.Fields(strings.Trim(value, `"`)), nil
}
