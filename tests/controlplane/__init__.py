"""A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager as local processes.

Objects, admission, RBAC, garbage collection and the built-in controllers are real. There is no kubelet and no
scheduler, so pods stay pending; `nodes` adds both where pods are to run. `programs` says what there is, `binaries`
finds or builds it, `pki` makes certificates, `cluster` starts and stops, `audit` says who asked for what, `kubectl` is
the way in, and `fixture` gives it all to pytest.
"""
