package vcenter

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Logins are the users and their passwords. Sessions outlive a change of them,
// as vCenter's do.
type Logins struct {
	ctx *simulator.Context

	mutex sync.Mutex
	all   map[string]string
}

func newLogins(ctx *simulator.Context, config Config) *Logins {
	all := maps.Clone(config.Logins)
	if all == nil {
		all = map[string]string{}
	}
	if config.User != "" {
		all[config.User] = config.Password
	}
	return &Logins{ctx: ctx, all: all}
}

func (l *Logins) valid(login *types.Login) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	password, known := l.all[login.UserName]
	return known && password == login.Password
}

// Set replaces them all.
func (l *Logins) Set(all map[string]string) error {
	if len(all) == 0 {
		return errors.New("logins: name at least one user, and the password")
	}
	for user, password := range all {
		if user == "" || password == "" {
			return fmt.Errorf("logins: user %q needs a name and a password", user)
		}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.all = maps.Clone(all)
	return nil
}

// EndSessions logs a user out, or everybody.
func (l *Logins) EndSessions(user string) int { return simulator.EndSessions(l.ctx, user) }
