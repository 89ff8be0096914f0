#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: disk_attach
short_description: Attach the disk of a dead host read-only, and mount its file systems
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Takes a block device or the image file of a disk, finds partitions (GPT, MBR), LVM, md and LUKS in it, and mounts its file
    systems as its own C(/etc/fstab) says. The result is a C(host_root) for the other modules.
  - Never writes to the disk. If a file system was not unmounted, its journal is replayed in a temporary copy-on-write overlay, so that
    you see everything that the dead kernel had committed.
  - Names in fstab that only C(/etc/crypttab) and C(mdadm.conf) explain are looked up there. A LUKS container that stays locked is opened with the
    key file that crypttab names, if that lies on the root file system of the dead host.
  - Known formats are raw (also in pieces), qcow2 with its backing files, vhdx, vhd, vmdk and vdi. Backing files and extents are
    only read from the folder of the image.
  - Attach disks that you do not trust in a virtual machine that you delete afterwards, because the kernel reads the file system.
options:
  path:
    description:
      - Block devices or image files, or a folder of them. Give all disks of one host together if LVM or md uses several.
      - Required with O(state=attached). With O(state=released) and without it everything in O(scratch_dir) is released.
    type: list
    elements: path
    default: []
  state:
    description:
      - V(attached) mounts, V(released) undoes it. A release also undoes what a killed run left. It does not
        touch what others have mounted or attached.
    type: str
    choices: [attached, released]
    default: attached
  journal:
    description:
      - V(replay) replays journals on an overlay. V(ignore) mounts without them; what was written last may then be missing.
    type: str
    choices: [replay, ignore]
    default: replay
  scratch_dir:
    description:
      - Folder for overlays, mount points and the state, on another disk than the one attached.
      - It must belong to the user that runs the module, and no other user may write to it.
    type: path
    default: /var/tmp/lifeboat-attach
  scratch_size:
    description: Maximum size of one overlay, in bytes or as V(512M) or V(2GiB).
    type: str
    default: 1G
  passphrase:
    description: Passphrase of LUKS.
    type: str
  key_file:
    description: Key file of LUKS, on the managed node.
    type: path
  nested:
    description: Also attaches images of disks that lie in known places inside the disk, such as C(docker.img) or C(Docker.raw).
    type: bool
    default: false
  attach_layers:
    description:
      - Also mounts the layers of storage drivers that keep them as thin devices of device-mapper (C(devicemapper) of Docker up to 24), so
        that rescue, changes and images work as with other drivers. The pool and its devices are opened on overlays in O(scratch_dir).
      - Needs C(dmsetup) and what O(journal=replay) needs.
    type: bool
    default: false
extends_documentation_fragment:
  - lifeboat.docker.docker_disk.attributes
attributes:
  check_mode:
    support: partial
    details: In check mode nothing is attached, and C(hosts) is empty. It is checked that the disk can be used.
  diff_mode:
    support: none
  idempotent:
    support: full
requirements:
  - Python 3.6 or later, root, and C(losetup) and C(mount) of util-linux.
  - C(qemu-img) and C(qemu-storage-daemon) for every format but raw, and for O(journal=replay). Where the latter was built without FUSE,
    C(qemu-nbd) and the kernel module C(nbd).
  - C(lvm2), C(mdadm), C(cryptsetup) where the disk has such layers.
seealso:
  - module: lifeboat.docker.docker_layer_facts
  - module: lifeboat.docker.docker_data_rescue
"""

EXAMPLES = r"""
- name: Attach the virtual disk of Docker Desktop
  lifeboat.docker.disk_attach:
    path: /srv/Docker.raw
  become: true
  register: disk

- name: Rescue from it
  lifeboat.docker.docker_data_rescue:
    host_root: "{{ disk.hosts[0].host_root }}"
    dest: /srv/rescued
  become: true

- name: Release it
  lifeboat.docker.disk_attach:
    path: /srv/Docker.raw
    state: released
  become: true

- name: Two disks of one host, encrypted
  lifeboat.docker.disk_attach:
    path: [/dev/sdb, /dev/sdc]
    passphrase: "{{ vault_disk_passphrase }}"
  become: true
"""

RETURN = r"""
hosts:
  description: What can be read now. Hosts with a root file system come first, then file systems with nothing but a data root.
  returned: always
  type: list
  elements: dict
  contains:
    host_root: {description: For O(ignore:host_root) of the other modules., type: str, returned: always}
    os: {description: 'C(id), C(name), C(version), C(hostname) of the dead host, empty where it does not say.', type: dict, returned: always}
    engines: {description: 'C(engine), C(data_root), C(containers), C(volumes), C(drivers) of each data root found.', type: list,
              elements: dict, returned: always}
    file_systems: {description: 'C(point) in the dead host, C(device), C(kind), C(uuid), C(label), C(journal), C(subvolume), C(options).',
                   type: list, elements: dict, returned: always}
steps:
  description: Every step that was taken, as a command line that a person could have typed.
  returned: always
  type: list
  elements: str
problems:
  description: 'What is missing or uncertain: C(code), C(severity), C(object), C(message), C(next_step).'
  returned: always
  type: list
  elements: dict
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.attach import run
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.images import image_of
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request


def work(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    request = Request(
        paths=tuple(params['path']), journal=params['journal'], scratch_dir=params['scratch_dir'], scratch_size=params['scratch_size'],
        passphrase=params['passphrase'] or '', key_file=params['key_file'] or '', nested=params['nested'],
        attach_layers=params['attach_layers'])
    if params['state'] == 'released':
        if module.check_mode:
            return dict(changed=run.attached(request), hosts=[], steps=[], problems=[])
        return run.release(request)
    if module.check_mode:
        for path in run.files_of(request.paths):
            image_of(path)
        return dict(changed=not run.attached(request), hosts=[], steps=[], problems=[])
    # what is mounted is for root only
    os.umask(0o077)
    return run.attach(request)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type='list', elements='path', default=[]),
            state=dict(type='str', choices=['attached', 'released'], default='attached'),
            journal=dict(type='str', choices=['replay', 'ignore'], default='replay'),
            scratch_dir=dict(type='path', default='/var/tmp/lifeboat-attach'),
            scratch_size=dict(type='str', default='1G'),
            passphrase=dict(type='str', no_log=True),
            key_file=dict(type='path', no_log=False),
            nested=dict(type='bool', default=False),
            attach_layers=dict(type='bool', default=False),
        ),
        required_if=[('state', 'attached', ['path'])],
        mutually_exclusive=[('passphrase', 'key_file')],
        supports_check_mode=True,
    )
    shared.run(module, work)


if __name__ == '__main__':
    main()
