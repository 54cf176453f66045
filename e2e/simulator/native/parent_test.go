package native

import "testing"

func TestWhatIsAForkAndWhatAClone(t *testing.T) {
	source := &Guest{host: newFakeHost(map[string]string{parentKey: `{"parentId": "one"}`})}
	for what, check := range map[string]struct {
		info map[string]string
		fork bool
	}{
		"another parent":         {map[string]string{parentKey: `{"parentId": "two"}`}, true},
		"the same parent":        {map[string]string{parentKey: `{"parentId": "one"}`}, false},
		"an identity":            {map[string]string{parentKey: `{"parentId": "two"}`, identityKey: `{}`}, false},
		"a parent of no ID":      {map[string]string{parentKey: `{"freeze": true}`}, false},
		"nothing":                {map[string]string{}, false},
		"what is not understood": {map[string]string{parentKey: `{`}, false},
		"an identity taken away": {map[string]string{parentKey: `{"parentId": "two"}`, identityKey: ``}, true},
	} {
		if source.isFork(newFakeHost(check.info)) != check.fork {
			t.Errorf("%s: is a fork: %v", what, !check.fork)
		}
	}
}
