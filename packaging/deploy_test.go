package packaging

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// instruction is one of a Dockerfile, with its words.
type instruction struct {
	name string
	rest string
}

// dockerfile reads the last stage, the one that is shipped.
func dockerfile(t *testing.T) (from string, stage []instruction) {
	t.Helper()
	for line := range strings.Lines(read(t, "Dockerfile")) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !found || strings.HasPrefix(name, "#"):
		case name == "FROM":
			from, stage = rest, nil
		default:
			stage = append(stage, instruction{name, rest})
		}
	}
	return from, stage
}

// list is the JSON form of an instruction's words, options before it left out.
func (i instruction) list(t *testing.T) []string {
	t.Helper()
	var all []string
	if err := json.Unmarshal([]byte(i.rest[strings.Index(i.rest, "["):]), &all); err != nil {
		t.Fatalf("%s %s: %v", i.name, i.rest, err)
	}
	return all
}

// imageUser is the user of the image, who owns what the relay writes to.
const imageUser = 65532

// TestImage lays out the files of the image as the Dockerfile says, and runs its
// command below that root as its user: no shell, no library, no other file.
func TestImage(t *testing.T) {
	from, stage := dockerfile(t)
	if from != "scratch" {
		t.Errorf("the image is built on %s, want scratch", from)
	}
	if os.Getuid() != 0 {
		smtptest.Missing(t, "no root: the program runs below another root, as another user")
	}
	r := root{filepath.Join(t.TempDir(), "image")}
	makeIn(t, "..", built, "binary")
	byName := map[string]instruction{}
	for _, i := range stage {
		byName[i.name] = i
		if i.name == "COPY" {
			r.copyInto(t, strings.Fields(i.rest))
		}
	}
	if byName["USER"].rest != "65532:65532" {
		t.Errorf("USER %s: want numbers, which runAsNonRoot can check", byName["USER"].rest)
	}
	upstream := smtptest.NewUpstream(t, smtptest.Options{})
	mail := smtptest.FreeAddr(t)
	if err := os.MkdirAll(r.path("etc/careerrelay"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write(t, "etc/careerrelay/careerrelay.yaml", strings.NewReplacer("0.0.0.0:2525", mail, "0.0.0.0:8080", smtptest.FreeAddr(t),
		"127.0.0.1:9090", smtptest.FreeAddr(t), "0.0.0.0:9091", smtptest.FreeAddr(t), "smtp://smtp.sample.example.jp:587", "smtp+insecure://"+upstream.Addr(),
		"10.0.0.0/8", "127.0.0.0/8", "mode: observe", "mode: insert").Replace(read(t, "kubernetes/base/careerrelay.yaml")))

	command := append(byName["ENTRYPOINT"].list(t), byName["CMD"].list(t)...)
	stop := startRelay(t, r.within(imageUser, imageUser, command...))
	sendRejection(t, mail)
	if out, err := r.within(imageUser, imageUser, byName["HEALTHCHECK"].list(t)...).CombinedOutput(); err != nil {
		t.Errorf("health check: %v\n%s", err, out)
	}
	stop()
	checkDelivered(t, upstream.Messages())
	if out, err := r.within(imageUser, imageUser, byName["HEALTHCHECK"].list(t)...).CombinedOutput(); err == nil {
		t.Errorf("the health check of a stopped relay says %s", out)
	}
}

// copyInto does what COPY --from=build does with the files of the first stage.
func (r root) copyInto(t *testing.T, words []string) {
	t.Helper()
	owner := 0
	for _, w := range words {
		if w == "--chown=65532:65532" {
			owner = imageUser
		}
	}
	from, to := words[len(words)-2], r.path(words[len(words)-1])
	source := map[string]string{
		"/out/careerrelay": filepath.Join(built, "stage-amd64", "careerrelay"), "/etc/ssl/certs/ca-certificates.crt": "Dockerfile",
	}[from]
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if from == "/out/empty" {
		err = os.Mkdir(to, 0o755)
	} else if content := read(t, source); true {
		err = os.WriteFile(to, []byte(content), 0o755)
	}
	if err == nil {
		err = os.Chown(to, owner, owner)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// decode reads YAML into a value of plain maps and lists.
func decode[T any](t *testing.T, file, text string) T {
	t.Helper()
	var v T
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// shippedConfig loads a configuration that is shipped for containers.
func shippedConfig(t *testing.T, file string) *configs.Config {
	t.Helper()
	t.Setenv("CAREERRELAY_DATABASE_URL", "postgres://careerrelay:secret@database:5432/careerrelay?sslmode=disable")
	c, err := configs.Parse(filepath.Join(t.TempDir(), filepath.Base(file)), []byte(read(t, file)))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(c.Warnings()) > 0 {
		t.Errorf("%s: %v", file, c.Warnings())
	}
	return c
}

type composeFile struct {
	Services map[string]struct {
		Image    string
		ReadOnly bool     `yaml:"read_only"`
		CapDrop  []string `yaml:"cap_drop"`
		Volumes  []string
		Ports    []string
	}
	Networks map[string]struct {
		IPAM struct {
			Config []struct{ Subnet string }
		}
	}
	Volumes map[string]any
}

// TestCompose: what compose.yaml mounts is there, and its ports, its network and
// its configuration belong together.
func TestCompose(t *testing.T) {
	c := decode[composeFile](t, "compose.yaml", read(t, "compose/compose.yaml"))
	if names := slices.Sorted(maps.Keys(c.Services)); !slices.Equal(names, []string{"careerrelay", "database", "grafana", "prometheus"}) {
		t.Fatalf("services: %q", names)
	}
	for name, s := range c.Services {
		if name != "careerrelay" && !regexp.MustCompile(`:v?\d+\.?\d*`).MatchString(s.Image) {
			t.Errorf("%s: the image %s has no version", name, s.Image)
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			_, named := c.Volumes[source]
			if _, err := os.Stat(filepath.Join("compose", source)); !named && err != nil {
				t.Errorf("%s: volume %s: %v", name, v, err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, p)
			}
		}
	}
	config := shippedConfig(t, "compose/config/careerrelay.yaml")
	relay := c.Services["careerrelay"]
	want := []string{"127.0.0.1:2525" + port(string(config.Listen.SMTP[0])), "127.0.0.1:8080" + port(string(config.Listen.Web))}
	if !slices.Equal(relay.Ports, want) || !relay.ReadOnly || !slices.Equal(relay.CapDrop, []string{"ALL"}) {
		t.Errorf("the relay's service is %+v; its configuration has the ports %q", relay, want)
	}
	if subnet, accepted := c.Networks["default"].IPAM.Config[0].Subnet, config.Companies[0].Accept.Networks[0].String(); subnet != accepted {
		t.Errorf("the network is %s, the relay accepts %s", subnet, accepted)
	}
	if target := "careerrelay" + port(string(config.Listen.Metrics)); !strings.Contains(read(t, "compose/prometheus.yml"), `"`+target+`"`) {
		t.Errorf("Prometheus does not ask %s", target)
	}
}

// port is the end of an address, with its colon.
func port(address string) string { return address[strings.LastIndex(address, ":"):] }

// object is a Kubernetes object; strict types are checked by kubernetes/check.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Replicas       int
		MaxUnavailable int `yaml:"maxUnavailable"`
		Selector       any
		Ports          []struct {
			Name, TargetPort string
			Port             int
		}
		Template struct {
			Spec struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				SecurityContext               map[string]any
				Containers                    []struct {
					Args  []string
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
					VolumeMounts []struct {
						MountPath string `yaml:"mountPath"`
						SubPath   string `yaml:"subPath"`
					} `yaml:"volumeMounts"`
				}
			}
		}
	}
}

// TestKubernetes builds the manifests, reads them strictly, and compares them
// with the configuration they bring.
func TestKubernetes(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "check")
	command(t, "kubernetes/check", "env", "GOFLAGS=", "CGO_ENABLED=0", "go", "build", "-o", tool, ".")
	for folder, replicas := range map[string]int{"base": 1, "postgres": 3} {
		t.Run(folder, func(t *testing.T) {
			objects := map[string]object{}
			for _, text := range strings.Split(command(t, "kubernetes", tool, folder), "\n---\n") {
				o := decode[object](t, folder, text)
				objects[o.Kind] = o
			}
			for _, kind := range []string{"StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount", "ConfigMap"} {
				if objects[kind].Kind == "" {
					t.Errorf("there is no %s", kind)
				}
			}
			config := shippedConfig(t, filepath.Join("kubernetes", folder, "careerrelay.yaml"))
			if objects["ConfigMap"].Data["careerrelay.yaml"] != read(t, filepath.Join("kubernetes", folder, "careerrelay.yaml")) {
				t.Error("the ConfigMap does not hold the configuration")
			}
			set := objects["StatefulSet"].Spec
			pod := set.Template.Spec
			if set.Replicas != replicas || objects["PodDisruptionBudget"].Spec.MaxUnavailable != 1 {
				t.Errorf("%d replicas, want %d; budget %+v", set.Replicas, replicas, objects["PodDisruptionBudget"].Spec)
			}
			ports := map[string]string{}
			for _, p := range pod.Containers[0].Ports {
				ports[p.Name] = port(":" + jsonOf(t, p.ContainerPort))
			}
			want := map[string]string{"smtp": port(string(config.Listen.SMTP[0])), "web": port(string(config.Listen.Web)), "metrics": port(string(config.Listen.Metrics))}
			if !maps.Equal(ports, want) {
				t.Errorf("the pod has the ports %v, the configuration %v", ports, want)
			}
			mounted := []string{}
			for _, m := range pod.Containers[0].VolumeMounts {
				mounted = append(mounted, m.MountPath)
				if m.SubPath != "" {
					t.Errorf("%s is mounted with subPath: it would never change", m.MountPath)
				}
			}
			for _, file := range []string{pod.Containers[0].Args[2], config.Path(config.SecretFile), config.Path(config.ProfileKeyFile)} {
				if !slices.Contains(mounted, filepath.Dir(file)) {
					t.Errorf("%s is in none of the mounted folders %q", file, mounted)
				}
			}
			if !slices.Contains(mounted, "/tmp") {
				t.Error("large messages need /tmp")
			}
		})
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlertRules lets promtool read the alerts and try each of them.
func TestAlertRules(t *testing.T) {
	promtool := smtptest.Program(t, "promtool")
	command(t, "prometheus", promtool, "check", "rules", "careerrelay.rules.yml")
	tests := read(t, "prometheus/careerrelay.rules.test.yml") + read(t, "prometheus/weekly.rules.test.yml")
	for _, file := range []string{"careerrelay.rules.test.yml", "weekly.rules.test.yml"} {
		command(t, "prometheus", promtool, "test", "rules", file)
	}
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, "prometheus/careerrelay.rules.yml"), -1)
	for _, a := range alerts {
		for _, what := range []string{" fires", " stays quiet"} {
			if !strings.Contains(tests, "name: "+a[1]+what) {
				t.Errorf("no test that %s%s", a[1], what)
			}
		}
	}
	if len(alerts) < 10 {
		t.Errorf("found only %d alerts", len(alerts))
	}
}

// TestDashboardQueries lets promtool read each query of the dashboard.
func TestDashboardQueries(t *testing.T) {
	promtool := smtptest.Program(t, "promtool")
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/careerrelay.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			n++
			rules.WriteString("  - {record: q, expr: " + jsonOf(t, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")) + ", labels: {n: \"" + jsonOf(t, n) + "\"}}\n")
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil || n < 15 {
		t.Errorf("%d queries: %v\n%s", n, err, out)
	}
}
