package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const told = `{"cloneId":"c1","pod":{"namespace":"ns","name":"web","uid":"u1"},"node":"n1","hostname":"web",
	"address":"10.80.0.16/16","gateway":"10.80.0.1","nameservers":[],"time":1.5,"seed":"AA==","clientCA":"PEM"}`

func TestAnIdentityIsUnderstood(t *testing.T) {
	who, err := ParseIdentity(told)
	if err != nil || who.CloneID != "c1" || who.UID() != "u1" || who.Address.String() != "10.80.0.16/16" {
		t.Errorf("%+v, %v", who, err)
	}
	standby, err := ParseIdentity(strings.Replace(told, `{"namespace":"ns","name":"web","uid":"u1"}`, "null", 1))
	if err != nil || standby.UID() != "" || !standby.Binds(who) {
		t.Errorf("%+v, %v", standby, err)
	}
	if who.Binds(who) || who.Binds(standby) {
		t.Error("a clone with a Pod is bound once more")
	}
}

func TestWhatAnIdentityLacksIsNamed(t *testing.T) {
	for field, value := range map[string]string{
		"cloneId": `"c1"`, "node": `"n1"`, "address": `"10.80.0.16/16"`, "clientCA": `"PEM"`,
	} {
		broken := strings.Replace(told, `"`+field+`":`+value, `"`+field+`":""`, 1)
		if _, err := ParseIdentity(broken); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestReportsSayWhatTheProviderReads(t *testing.T) {
	who, _ := ParseIdentity(told)
	var clone struct {
		CloneID, Phase, Fingerprint, Address string
		Port                                 int
	}
	if err := json.Unmarshal([]byte(Report(who, Ready, "sha256:00", 10350, "")), &clone); err != nil {
		t.Fatal(err)
	}
	if clone.CloneID != "c1" || clone.Phase != "Ready" || clone.Address != "10.80.0.16" || clone.Port != 10350 {
		t.Errorf("%+v", clone)
	}
	parent, err := ParseParent(`{"parentId":"p1","node":"n1","freeze":true,"setup":{"preloadImages":["a:1"]}}`)
	if err != nil || !parent.Freeze {
		t.Fatalf("%+v, %v", parent, err)
	}
	report := ReportParent(parent, Warm, "")
	for _, want := range []string{`"parentId":"p1"`, `"phase":"Warm"`, `"names":["a:1"]`, `simulated`} {
		if !strings.Contains(report, want) {
			t.Errorf("%s is not in %s", want, report)
		}
	}
}

func TestEveryCloneHasAKeyOfItsOwnAndItsFingerprint(t *testing.T) {
	who, _ := ParseIdentity(told)
	one, pin, err := Certify(who, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := Certify(who, time.Now())
	if err != nil || pin == other {
		t.Errorf("both are %s, %v", pin, err)
	}
	sum := sha256.Sum256(one.Certificate[0])
	if pin != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("the fingerprint is %s", pin)
	}
}
