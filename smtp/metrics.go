package smtp

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what the relay counts; docs/monitoring.md explains each. Labels
// have few values: ids from the configuration and words of this package.
type metrics struct {
	sessions     prometheus.Gauge
	refused      *prometheus.CounterVec   // reason
	messages     *prometheus.CounterVec   // outcome
	detected     *prometheus.CounterVec   // rule
	passed       *prometheus.CounterVec   // reason
	failOpen     *prometheus.CounterVec   // stage
	proofs       prometheus.Counter       //
	referrals    *prometheus.CounterVec   // event
	unheard      prometheus.Counter       //
	loginsFailed prometheus.Counter       //
	panics       prometheus.Counter       //
	bytes        prometheus.Counter       //
	burstShut    *prometheus.GaugeVec     // company
	upstream     *prometheus.HistogramVec // step
	took         prometheus.Histogram     //
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counters := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "careerrelay", Name: name, Help: help}, []string{label})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "careerrelay", Name: name, Help: help})
	}
	return &metrics{
		sessions: f.NewGauge(prometheus.GaugeOpts{
			Namespace: "careerrelay", Name: "smtp_sessions_active", Help: "Connected clients."}),
		refused:      counters("smtp_connections_refused_total", "Connections that were refused before the first command.", "reason"),
		messages:     counters("smtp_messages_total", "Messages by what became of them: accepted, deferred, refused, torn.", "outcome"),
		detected:     counters("rejections_detected_total", "Messages that a rule took for a rejection or a leaver's mail.", "rule"),
		passed:       counters("messages_unedited_total", "Messages that were not edited, by reason.", "reason"),
		failOpen:     counters("fail_open_total", "Messages that went on unedited because a step of ours failed.", "stage"),
		proofs:       counter("proof_failures_total", "Edits that were not proven: the original went on. Each is a bug."),
		referrals:    counters("referrals_total", "Steps of referrals: offered, sent, void, unsettled.", "event"),
		unheard:      counter("smtp_answers_unheard_total", "Accepted messages whose client was gone before it heard so: it may send them twice."),
		loginsFailed: counter("smtp_logins_failed_total", "Logins with a wrong name or password."),
		panics:       counter("smtp_panics_total", "Sessions that ended by a panic: each is a bug."),
		bytes:        counter("smtp_message_bytes_total", "Bytes of messages that were received whole."),
		burstShut: f.NewGaugeVec(prometheus.GaugeOpts{Namespace: "careerrelay", Name: "burst_guard_shut",
			Help: "1 while the company's mail gets no links because far more rejections come than is normal."}, []string{"company"}),
		upstream: f.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "careerrelay", Name: "upstream_duration_seconds", Help: "Time that upstreams took, by step.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"step"}),
		took: f.NewHistogram(prometheus.HistogramOpts{
			Namespace: "careerrelay", Name: "smtp_message_duration_seconds",
			Help: "Time from the last octet of a message to its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}),
	}
}
