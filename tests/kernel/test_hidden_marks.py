"""Without CAP_SYS_ADMIN the kernel hides the marks of opaque folders: a rescue in such a process says so."""
import json
import os
import subprocess
import sys

import deadroot

SCRIPT = """
import json, os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import privileges
with registry.open_host(os.fsencode(sys.argv[1])) as host:
    root = host.roots[0]
    marks = sum('trusted.overlay.opaque' in os.listxattr(path) for path, dummy, names in os.walk(root.path))
    found = [root.container(ident) for ident in root.container_ids()]
print(json.dumps([privileges.sees_trusted(), marks, sorted({item.status for item in found}),
                  sorted({each.code for item in found for each in item.problems if each.code == 'PRIVILEGES_MISSING'})]))
"""


def look(top, wrapper):
    return json.loads(subprocess.run(wrapper + [sys.executable, '-c', SCRIPT, top], check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
                                     stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout.decode())


def test_marks_that_the_kernel_hides_are_missed(tmp_path):
    top = str(tmp_path)
    deadroot.build(os.path.join(top, 'var', 'lib', 'docker'), containers=3, host_root=top)
    sees, marks, statuses, codes = look(top, [])
    assert sees and marks and statuses == ['complete'] and not codes
    without = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']
    assert look(top, without) == [False, 0, ['partial'], ['PRIVILEGES_MISSING']]
    # all capabilities, but in a user namespace
    assert look(top, ['unshare', '--user', '--map-root-user']) == [False, 0, ['partial'], ['PRIVILEGES_MISSING']]
