"""Which containers run under the shims of containerd: Docker and nerdctl have one for each, the CRI plugin has one for a whole pod."""
import types

from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared.containerd import liveness

POD, APP, OTHER = 'a' * 64, 'b' * 64, 'c' * 64


def disk(*argvs):
    processes = [types.SimpleNamespace(pid=10 * (number + 1), argv=list(argv)) for number, argv in enumerate(argvs)]
    return types.SimpleNamespace(processes=lambda names: processes)


def tables(monkeypatch, **files):
    """/proc: FILES by PID_NAME."""
    monkeypatch.setattr(liveness.hosts, 'read_proc', lambda pid, name, limit=0: files.get('p%d_%s' % (pid, name.rpartition('/')[2]), b''))


def test_one_shim_for_a_container(monkeypatch):
    tables(monkeypatch, p10_children=b'11 \n', p11_cgroup=b'0::/default/' + APP.encode() + b'\n')
    assert liveness.running(disk(['containerd-shim-runc-v2', '-namespace', 'default', '-id', APP])) == {APP: 11}


def test_one_shim_for_a_pod(monkeypatch):
    """Both versions of control groups, with systemd's names and with cgroupfs'."""
    tables(monkeypatch, p10_children=b'11 12 13 14',
           p11_cgroup=b'0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-' + POD.encode() + b'.scope\n',
           p12_cgroup=b'0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-' + APP.encode() + b'.scope/inner\n',
           p13_cgroup=b'12:memory:/kubepods/burstable/pod1/' + OTHER.encode() + b'\n1:name=systemd:/kubepods/burstable/pod1/' + OTHER.encode() + b'\n',
           p14_cgroup=b'0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-' + APP.encode() + b'.scope\n')
    assert liveness.running(disk(['containerd-shim-runc-v2', '-namespace', 'k8s.io', '-id', POD])) == {POD: 11, APP: 12, OTHER: 13}


def test_a_shim_without_children(monkeypatch):
    tables(monkeypatch)
    assert liveness.running(disk(['containerd-shim-runc-v2', '-id', POD], ['containerd-shim-runc-v2', 'delete'])) == {POD: 10}
