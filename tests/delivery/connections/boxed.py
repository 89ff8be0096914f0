"""A stand-in for the connections into containers (podman, docker_api): none of them, but with what is peculiar to them.

Commands run inside a namespace, each by a process of its own. Files are copied from outside, where what is mounted inside (such
as /dev/shm) is not seen: they are reported missing, by an exception of Python's own. There is nothing to reset.
"""
from __future__ import annotations

import shutil
import subprocess

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: boxed
short_description: for the tests of lifeboat.docker only
description: Into the mount namespace of a process; files from outside of it.
author: Lifeboat maintainers
options:
  pid:
    description: A process in the namespace.
    vars: [{name: ansible_boxed_pid}]
  outside:
    description: Folder in front of every path that is fetched, as it is seen from outside.
    default: ''
    vars: [{name: ansible_boxed_outside}]
"""


class Connection(ConnectionBase):
    transport = 'boxed'
    has_pipelining = False

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = subprocess.run(['nsenter', '-t', str(self.get_option('pid')), '-m', '-n', '/bin/sh', '-c', cmd],
                              input=in_data or b'', stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        shutil.copyfile(in_path, out_path)

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        shutil.copyfile(self.get_option('outside') + in_path, out_path)

    def close(self):
        self._connected = False
