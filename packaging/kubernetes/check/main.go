// Command check builds kustomizations as kubectl would and reads each object
// strictly into its own API type: an unknown or misplaced field fails. It prints
// the objects as one YAML stream, for whoever wants to look closer.
//
// It is a module of its own, so that the relay does not depend on Kubernetes.
package main

import (
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: check FOLDER")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func check(folder string) error {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return fmt.Errorf("build %s: %w", folder, err)
	}
	for _, r := range built.Resources() {
		if err := strict(r); err != nil {
			return fmt.Errorf("%s: %s %s: %w", folder, r.GetKind(), r.GetName(), err)
		}
	}
	out, err := built.AsYaml()
	if err != nil {
		return fmt.Errorf("print %s: %w", folder, err)
	}
	_, err = os.Stdout.Write(out)
	return err
}

// strict reads an object into the type of its kind.
func strict(r *resource.Resource) error {
	text, err := r.AsYAML()
	if err != nil {
		return err
	}
	kind := r.GetApiVersion() + " " + r.GetKind()
	into := map[string]any{
		"apps/v1 StatefulSet":                &appsv1.StatefulSet{},
		"v1 ConfigMap":                       &corev1.ConfigMap{},
		"v1 Service":                         &corev1.Service{},
		"v1 ServiceAccount":                  &corev1.ServiceAccount{},
		"policy/v1 PodDisruptionBudget":      &policyv1.PodDisruptionBudget{},
		"networking.k8s.io/v1 NetworkPolicy": &networkingv1.NetworkPolicy{},
	}[kind]
	if into == nil {
		return fmt.Errorf("no type for %s", kind)
	}
	return yaml.UnmarshalStrict(text, into)
}
