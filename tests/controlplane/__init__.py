"""A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager as local processes.

There is no kubelet and no scheduler: objects, admission, RBAC, garbage collection and the built-in controllers are
real, pods never run. `binaries` finds or builds the programs, `pki` makes certificates, `cluster` starts and stops,
`audit` says who asked for what, `kubectl` is the way in, and `fixture` gives it all to pytest.
"""
