// Command controlplane is the whole Kubernetes control plane in one program:
// etcd, kube-apiserver, kube-controller-manager and kube-scheduler, chosen by
// the first argument. One program links once, which on a small machine saves
// minutes. The components themselves are upstream's, unmodified.
//
// It is not a cluster: e2e/cluster starts one process per component and wires
// them together. kubelet, kube-proxy and kubectl are programs of their own,
// beside this one, because the first two travel in the guest image.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	if len(os.Args) < 2 {
		fail("no component named")
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...)
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	newCommand, ok := components[name]
	if !ok {
		fail(fmt.Sprintf("unknown component %q", name))
	}
	os.Exit(cli.Run(newCommand()))
}

func fail(why string) {
	fmt.Fprintf(os.Stderr, "controlplane: %s; give one of etcd, kube-apiserver, kube-controller-manager, kube-scheduler\n", why)
	os.Exit(2)
}
