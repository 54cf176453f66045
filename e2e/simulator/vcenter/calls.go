package vcenter

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// front stands in front of vcsim's handler: it counts SOAP calls and makes
// them go wrong.
func (f *Faults) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		method, object := call(body)
		if method == "" {
			next.ServeHTTP(w, r)
			return
		}
		rule := f.called(method, object)
		switch {
		case rule == nil:
			next.ServeHTTP(w, r)
		case rule.inTask():
			next.ServeHTTP(w, simulator.WithTaskFault(r, &simulator.TaskFault{
				Delay: rule.delay(), Fault: newFault(rule.Fault), After: rule.When == After,
			}))
		default:
			strike(rule, next, w, r)
		}
	})
}

// strike makes the call itself go wrong.
func strike(rule *Fault, next http.Handler, w http.ResponseWriter, r *http.Request) {
	time.Sleep(rule.delay())
	switch {
	case rule.When == ReplyLost:
		next.ServeHTTP(&discard{header: http.Header{}}, r)
		panic(http.ErrAbortHandler) // net/http cuts the connection
	case rule.Fault == "":
		next.ServeHTTP(w, r) // the delay was all
		return
	case rule.When == After:
		next.ServeHTTP(&discard{header: http.Header{}}, r)
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, soapFault, rule.Fault)
}

const soapFault = xml.Header + `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>
<faultcode>ServerFaultCode</faultcode><faultstring>injected %[1]s</faultstring>
<detail><%[1]sFault xmlns="urn:vim25" xsi:type="%[1]s"></%[1]sFault></detail>
</soapenv:Fault></soapenv:Body></soapenv:Envelope>
`

// call reads the method and the managed object ID of a SOAP request.
func call(body []byte) (method, object string) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	depth, inBody := 0, false
	for {
		token, err := decoder.Token()
		if err != nil {
			return method, object
		}
		switch element := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth == 2:
				inBody = element.Name.Local == "Body"
			case depth == 3 && inBody:
				method = element.Name.Local
			case depth == 4 && inBody && element.Name.Local == "_this":
				_ = decoder.DecodeElement(&object, &element)
				return method, object
			}
		case xml.EndElement:
			depth--
		}
	}
}

// discard takes a reply that nobody gets.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
