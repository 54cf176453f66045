package main

import (
	"flag"
	"io"
	"slices"
	"testing"

	"vch.dev/e2e/simulator/vcenter"
)

func TestLoginsAreNamedOneByOne(t *testing.T) {
	parse := func(arguments ...string) (logins, error) {
		all := logins{}
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		flags.Var(all, "login", "")
		return all, flags.Parse(arguments)
	}
	all, err := parse("--login", "one:secret", "--login=two:with:colon")
	if err != nil || len(all) != 2 || all["one"] != "secret" || all["two"] != "with:colon" {
		t.Errorf("%d logins, %v", len(all), err)
	}
	for _, wrong := range []string{"", "one", "one:", ":secret"} {
		if _, err := parse("--login", wrong); err == nil {
			t.Errorf("accepted: %q", wrong)
		}
	}
	if all.String() != "" {
		t.Error("passwords are shown")
	}
}

func TestPortGroupsAreNamedOneByOneWithTheirBridges(t *testing.T) {
	parse := func(arguments ...string) ([]vcenter.PortGroup, error) {
		var all portGroups
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		flags.Var(&all, "port-group", "")
		return all, flags.Parse(arguments)
	}
	all, err := parse("--port-group", "VM Network=vch0", "--port-group=pods=vch1,isolated", "--port-group=team=vch2,vlan=7")
	want := []vcenter.PortGroup{
		{Name: "VM Network", Bridge: "vch0"},
		{Name: "pods", Bridge: "vch1", Isolated: true},
		{Name: "team", Bridge: "vch2", VLAN: 7},
	}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("%+v, %v", all, err)
	}
	for _, wrong := range []string{"", "pods", "pods=", "=vch1", "pods=vch1,", "pods=vch1,open", "pods=vch1,vlan=", "pods=vch1,vlan=0", "pods=vch1,vlan=4095"} {
		if _, err := parse("--port-group", wrong); err == nil {
			t.Errorf("accepted: %q", wrong)
		}
	}
}
