package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/careerrelay/careerrelay/store"
)

// admin is what the admin listener serves. It has no password and belongs on
// loopback; the configuration refuses anything else.
type admin struct {
	registry *prometheus.Registry
	ready    func(context.Context) error // why mail would not be edited or taken now
	reload   func() error
	report   func(context.Context) ([]reportRow, error)
	observed func(context.Context) ([]observed, error)
	pause    *killSwitch
	pprof    bool // serve profiles
}

func (a admin) handler() http.Handler {
	mux := a.readOnly()
	mux.HandleFunc("POST /-/reload", a.reloadNow)
	mux.HandleFunc("GET /report", a.reportNow)
	mux.HandleFunc("GET /observe", a.observeNow)
	mux.Handle("POST /-/pause", a.pause)
	mux.Handle("POST /-/resume", a.pause)
	if a.pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	// A page in the admin's browser must not be able to reload or read us.
	return http.NewCrossOriginProtection().Handler(mux)
}

// readOnly is what listen.metrics serves: what machines elsewhere may know.
func (a admin) readOnly() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{
		Registry: a.registry, EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 5 * time.Second,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	return mux
}

func (a admin) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if err := a.ready(ctx); err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
	if p := a.pause.now.Load(); !p.none() {
		fmt.Fprintln(w, "paused:", p)
	}
}

func (a admin) reloadNow(w http.ResponseWriter, _ *http.Request) {
	if err := a.reload(); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	fmt.Fprintln(w, "reloaded")
}

func (a admin) reportNow(w http.ResponseWriter, r *http.Request) {
	rows, err := a.report(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = writeJSON(w, rows) // the reader went away
}

// reportRow is one company in the output of report: a contract for scripts.
type reportRow struct {
	Company       string `json:"company"`
	Seen          int64  `json:"seen"`
	Matched       int64  `json:"matched"`
	Inserted      int64  `json:"inserted"`
	Sent          int64  `json:"sent"`
	OpenedHuman   int64  `json:"opened_human"`
	OpenedMachine int64  `json:"opened_machine"`
	OptedIn       int64  `json:"opted_in"`
	OptedOut      int64  `json:"opted_out"`
	Counted       int64  `json:"counted"`
	Earned        int64  `json:"earned"`
	Redeemed      int64  `json:"redeemed"`
	Paused        bool   `json:"paused"` // by the kill switch
}

// reportRows are the counts of each company, known ones without any mail included.
func reportRows(counts []store.Counts, known []string, paused pauses) []reportRow {
	rows := make([]reportRow, 0, len(counts)) // no companies is [], not null
	for _, c := range counts {
		rows = append(rows, reportRow{
			Company: c.Company, Seen: c.Seen, Matched: c.Matched, Inserted: c.Inserted, Sent: c.Sent,
			OpenedHuman: c.OpenedHuman, OpenedMachine: c.OpenedMachine, OptedIn: c.OptedIn, OptedOut: c.OptedOut,
			Counted: c.Counted, Earned: c.Earned, Redeemed: c.Redeemed,
		})
		known = slices.DeleteFunc(known, func(id string) bool { return id == c.Company })
	}
	for _, id := range known {
		rows = append(rows, reportRow{Company: id})
	}
	for i := range rows {
		rows[i].Paused = paused.has(rows[i].Company)
	}
	return rows
}
