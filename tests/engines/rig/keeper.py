"""A small process that owns everything an engine starts and leaves: processes, mounts, cgroups, scratch folder.

Every process of the engine becomes its descendant (it is a child subreaper, so a shim that loses its parent lands
here too). It does what the lines on its standard input say, and when that input ends - because the rig is done, or
because the rig itself was killed - it ends the engine and clears away. So nothing outlives the tests.

Lines are JSON: {"start": argv, "log": path} answers {"pid": number}; {"kill": true} answers {"left": [numbers]};
{"keep": true} leaves the scratch folder (not the processes and mounts) in place at the end and answers {}.
"""
import ctypes
import json
import os
import select
import signal
import subprocess
import sys

from . import procs

_PR_SET_CHILD_SUBREAPER = 36


def main(scratch, cgroup_name):
    """Serve until standard input ends, then clear away."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_CHILD_SUBREAPER)')
    keep, pending, open_input = False, b'', True
    while open_input:
        ready = select.select([0], [], [], 1.0)[0]
        _reap()
        if not ready:
            continue
        data = os.read(0, 65536)
        open_input = bool(data)
        pending += data
        while b'\n' in pending:
            line, pending = pending.split(b'\n', 1)
            order = json.loads(line.decode())
            answer = {}
            if 'start' in order:
                answer['pid'] = _start(order['start'], order['log'])
            elif order.get('kill'):
                answer['left'] = sorted(procs.kill_below(os.getpid(), cgroup_name, _reap))
                _reap()
                procs.remove_cgroups(cgroup_name)
            elif order.get('keep'):
                keep = True
            os.write(1, (json.dumps(answer) + '\n').encode())
    procs.kill_below(os.getpid(), cgroup_name, _reap)
    _reap()
    procs.remove_cgroups(cgroup_name)
    procs.unmount_below(scratch)
    if not keep:
        subprocess.run(['rm', '-rf', '--one-file-system', '--', scratch], stdin=subprocess.DEVNULL, check=False)
    return 0


def _start(argv, log):
    with open(log, 'ab') as handle:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, cwd='/')
    # _reap() collects it like any other descendant; Popen must not wait for it as well.
    child.returncode = 0
    return child.pid


def _reap():
    """Collect the dead; True if there are living children, or some that are not quite dead."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2]))
