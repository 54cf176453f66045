package main

import (
	"flag"
	"io"
	"testing"
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
