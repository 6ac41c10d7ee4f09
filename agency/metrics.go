package agency

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are what the ways to the agency count; docs/monitoring.md explains each.
type Metrics struct {
	deliveries *prometheus.CounterVec // event, outcome
	waiting    prometheus.Gauge
	dead       prometheus.Gauge
	oldest     prometheus.Gauge
	requests   *prometheus.CounterVec // status
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Namespace: "careerrelay", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "careerrelay", Name: name, Help: help}, labels)
	}
	return &Metrics{
		deliveries: counters("webhook_deliveries_total", "Attempts to tell the agency, by event and outcome: delivered, retried, dead.", "event", "outcome"),
		waiting:    gauge("outbox_waiting", "Deliveries that wait for the agency."),
		dead:       gauge("outbox_dead", "Dead letters: deliveries that were given up."),
		oldest:     gauge("outbox_oldest_seconds", "Age of the oldest delivery that waits."),
		requests:   counters("agency_requests_total", "Requests to the agency's API by status.", "status"),
	}
}
