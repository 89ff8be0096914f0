#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_layer_facts
short_description: Read containers, images and volumes of a Docker host from its disk, without a daemon
version_added: 1.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Reads containers, image layers, volumes and their state straight from the data root of a Docker host, whose daemon may
    be dead, or from the disk of another machine.
  - Knows the overlay2, overlay, aufs, fuse-overlayfs, vfs and btrfs storage drivers and the containerd image store.
  - For more than 50 containers, unless O(containers) names them, the result is short, because AWX drops large results. Paths of layers
    and log files and environment variables are then left out.
  - Every object has a C(status), V(complete), V(partial), V(lost) or V(unsupported), and everything that is missing or uncertain
    is in C(problems) with the next step. Nothing is written, except O(state_path).
options:
  gather_subset:
    description:
      - What to gather. V(!NAME) leaves a subset out; with only such entries the default is taken without them.
      - The subset V(layers) (paths of layers of each container) takes effect for up to 50 matching containers, and always when
        O(containers) names them.
      - V(changes) compares each container with its image as C(docker diff) does. V(databases) looks for database files.
        V(integrity) reads every image layer and checks it against its digest, which takes as long as reading the images.
      - V(swarm) reads the state of the swarm that the host was a node of. A swarm with autolock needs O(unlock_key).
    type: list
    elements: str
    default: [containers, layers, images, volumes, usage, orphans]
  images:
    description: Restricts the images that are returned to these references, IDs or globs. Empty means all.
    type: list
    elements: str
    default: []
  redact:
    description:
      - Replaces the values of environment variables, and of labels that are secret by their name (passwords, tokens, keys) or by their
        shape (hashes of C(htpasswd), JSON Web Tokens, private keys, URLs with a password, strings that look random), or that
        repeat a value of the environment.
      - Passwords in options of volumes are replaced in any case.
    type: bool
    default: true
    aliases: [redact_env]
  changes_limit:
    description: Maximum number of changes that are listed for a container; the rest is only counted. V(0) means no limit.
    type: int
    default: 1000
  top_count:
    description:
      - How many of the largest folders are listed for a container or volume.
      - At most one if more than 50 containers match and O(containers) names none, so that the result stays small.
    type: int
    default: 10
  top_depth:
    description: Maximum depth of the folders in C(top).
    type: int
    default: 2
  scan_timeout:
    description: Time after which counting a tree ends, in seconds or as V(10m); C(usage.complete) is then V(false). V(0) means no limit.
    type: str
    default: '0'
  scan_max_files:
    description: Number of files after which counting a tree ends; C(usage.complete) is then V(false). V(0) means no limit.
    type: int
    default: 0
  io_class:
    description: Gives other programs of a live host priority when the disk is read.
    type: str
    choices: [normal, best-effort, idle]
    default: normal
  noise:
    description:
      - Files that do not count as data, in addition to the built-in table of caches, logs, temporary files and the like. They are counted in
        C(usage.noise_bytes).
    type: list
    elements: dict
    default: []
    suboptions:
      where:
        description: How O(noise[].pattern) is compared with paths below the root of a layer or volume.
        type: str
        choices: [folder, folder_name, file, name, suffix]
        required: true
      pattern:
        description: A path, a name or the end of a name.
        type: str
        required: true
      reason:
        description: Why these files do not count as data.
        type: str
        required: true
  state_path:
    description:
      - File on the managed node, outside the data root, with the counts of the last run. Trees whose folders and newest files are
        unchanged are not counted again, at most ten times. This module writes nothing else, and nothing in check mode.
    type: path
  unlock_key:
    description: The unlock key of a swarm with autolock, as C(docker swarm unlock-key) prints it, for the subset V(swarm).
    type: str
    version_added: 2.0.0
extends_documentation_fragment:
  - lifeboat.docker.docker_disk
  - lifeboat.docker.docker_disk.attributes
  - lifeboat.docker.docker_disk.actiongroup
  - lifeboat.docker.docker_disk.facts
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: lifeboat.docker.docker_data_rescue
"""

EXAMPLES = r"""
- name: See what is on a host whose dockerd does not start
  lifeboat.docker.docker_layer_facts:
  become: true

- name: Read the disk of another machine, mounted read-only
  lifeboat.docker.docker_layer_facts:
    host_root: /mnt/dead
    gather_subset: [containers, volumes, orphans]
  become: true

- name: What did this container change, as docker diff would say it
  lifeboat.docker.docker_layer_facts:
    containers: [shop-db]
    gather_subset: [containers, layers, changes]
    changes_limit: 0
  become: true
"""

RETURN = r"""
ansible_facts:
  description: Facts to add to the host.
  returned: always
  type: dict
  contains:
    docker_layers:
      description: What is on the disk.
      returned: always
      type: dict
      contains:
        roots:
          description: The data roots that were read.
          returned: always
          type: list
          elements: dict
          contains:
            path: {description: Path on the managed node., type: str, returned: always}
            engine: {description: 'The engine whose root it is, such as V(docker).', type: str, returned: always}
            user: {description: The user whose rootless engine it belongs to; null for one that runs as root., type: str, returned: always}
            recorded_path: {description: Path as the dead daemon knew it., type: str, returned: always}
            drivers: {description: Storage drivers and snapshotters with layers here., type: list, elements: str, returned: always}
            daemon: {description: 'C(state) (V(running), V(stopped) or V(unknown)) and C(pid).', type: dict, returned: always}
            userns: {description: 'C(uid:gid) that the root of a container has on the disk; null where it is root.', type: str, returned: always}
            containers: {description: Number of containers., type: int, returned: always}
            volume_path:
              description: Where the engine keeps the content of a volume, as the dead daemon knew it; V({name}) stands for its name.
              type: str
              returned: if the engine has such a place
        containers:
          description: The containers that match O(containers).
          returned: if the subset V(containers) is gathered
          type: list
          elements: dict
          contains:
            id: {description: Full ID., type: str, returned: always}
            name: {description: Name without slash; null if it is lost., type: str, returned: always}
            created: {description: When it was created., type: str, returned: always}
            image: {description: 'C(id) and C(reference) of its image.', type: dict, returned: always}
            labels: {description: Its labels., type: dict, returned: always}
            state: {description: 'C(status), C(running), C(exit_code), C(dead), C(started_at), C(finished_at).', type: dict, returned: always}
            engine: {description: 'The engine that it belongs to, such as V(docker).', type: str, returned: always}
            user: {description: The user whose rootless engine it belongs to., type: str,
                   returned: for up to 50 containers or if O(containers) names them}
            pod: {description: 'The pod that it is in (C(id), C(name), C(namespace), C(uid)), or null. Docker has none.', type: dict,
                  returned: for up to 50 containers or if O(containers) names them}
            root: {description: Its data root., type: str, returned: always}
            store: {description: 'V(graphdriver), V(containerd) or V(containers-storage).', type: str, returned: always}
            driver: {description: Storage driver or snapshotter., type: str, returned: always}
            status: {description: 'V(complete), V(partial), V(lost) or V(unsupported).', type: str, returned: always}
            env: {description: Environment variables., type: dict, returned: for up to 50 containers or if O(containers) names them}
            layers:
              description: 'C(writable), C(init), C(work), C(merged), C(image) (top first), and C(lowerdir), the string that a
                read-only overlay mount takes.'
              type: dict
              returned: if the subset V(layers) is gathered
            mounts: {description: 'C(type), C(name) (of the volume or image), C(source), C(path), C(destination), C(rw), C(driver), C(anonymous), C(status).',
                     type: list, elements: dict, returned: always}
            image_volumes: {description: Paths that the image declares as volumes., type: list, elements: str, returned: if there are any}
            log: {description: 'C(driver), C(bytes) (V(null) for a log in the journal of the host, which has no size of its own), C(max_size), and C(files)
                    for up to 50 containers or if O(containers) names them.', type: dict, returned: always}
            usage: {description: 'C(bytes), C(allocated), C(files), C(newest_mtime), C(top) of the writable layer.', type: dict,
                    returned: if the subset V(usage) is gathered}
            changes: {description: 'C(kind) (V(A), V(C) or V(D)) and C(path).', type: list, elements: dict,
                      returned: if the subset V(changes) is gathered}
            changes_total: {description: Number of changes., type: int, returned: if the subset V(changes) is gathered}
            changes_truncated: {description: Whether the list was cut., type: bool, returned: if the subset V(changes) is gathered}
            changes_complete: {description: 'V(false) if layers of the image are lost, so that their files read as added.', type: bool,
                               returned: if layers are lost}
            databases: {description: 'C(engine), C(version), C(path), C(where), C(bytes).', type: list, elements: dict,
                        returned: if the subset V(databases) is gathered}
            problems: {description: What is missing or uncertain., type: list, elements: dict, returned: always}
        pods:
          description: 'Pods of all engines that have such: C(id), C(name), C(namespace), C(uid) (of Kubernetes), C(labels), C(containers) (IDs of those in
            these facts) and C(volumes) (names).'
          returned: always
          type: list
          elements: dict
        images:
          description: The images of all stores; their layers bottom first.
          returned: if the subset V(images) is gathered
          type: list
          elements: dict
        volumes:
          description: The volumes.
          returned: if the subset V(volumes) is gathered
          type: list
          elements: dict
        orphans:
          description: Writable layers and volumes that no container owns.
          returned: if the subset V(orphans) is gathered and O(containers) names none
          type: dict
        snapshots:
          description: 'Snapshots on this disk that hold a data root: C(path), C(kind) (V(snapper), V(timeshift), V(folder), V(zfs), V(lvm)), C(data_root),
            C(created), C(checked) (false for ZFS and LVM, which are not looked into) and C(next_step).'
          returned: always
          type: list
          elements: dict
        swarm:
          description: The swarm of each data root that has one, as C(swarms) of M(lifeboat.docker.docker_swarm_export), and C(root).
          returned: if the subset V(swarm) is gathered
          type: list
          elements: dict
        problems:
          description: 'What is wrong with the host: C(code), C(severity), C(object), C(message), C(next_step), C(loses_data) (something of
            the object is missing or cannot be read) and C(blocks_start) (the engine or the container does not start with it).'
          returned: always
          type: list
          elements: dict
        summary:
          description:
            - Counts of containers by status and sums of bytes. C(worst) is the worst severity of all problems here, those of containers,
              volumes, images and orphans included, null if there are none. C(next_steps) are the first things to do, at most three.
          returned: always
          type: dict
          sample: {containers: 3, complete: 3, partial: 0, lost: 0, unsupported: 0, writable_bytes: 1024, volumes: 2, volume_bytes: 4096,
                   worst: critical, next_steps: [Rescue it before dockerd is started on this disk.]}
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts


def gather(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    options = facts.Options(
        containers=params['containers'], gather_subset=params['gather_subset'], redact_env=params['redact'],
        changes_limit=params['changes_limit'], top_count=params['top_count'], images=params['images'],
        top_depth=params['top_depth'], scan_timeout=params['scan_timeout'], scan_max_files=params['scan_max_files'],
        noise=params['noise'], state_path=None if module.check_mode else params['state_path'],
        unlock_key=params['unlock_key'] or '')
    if params['io_class'] != 'normal':
        from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import ioclass
        ioclass.apply(params['io_class'])
    with registry.host_of(params) as host:
        return dict(changed=False, ansible_facts=dict(docker_layers=facts.gather(host, options)))


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gather_subset=dict(type='list', elements='str', default=list(facts.DEFAULT)),
            images=dict(type='list', elements='str', default=[]),
            redact=dict(type='bool', default=True, aliases=['redact_env']),
            changes_limit=dict(type='int', default=1000),
            top_count=dict(type='int', default=10),
            top_depth=dict(type='int', default=2),
            scan_timeout=dict(type='str', default='0'),
            scan_max_files=dict(type='int', default=0),
            io_class=dict(type='str', choices=['normal', 'best-effort', 'idle'], default='normal'),
            noise=dict(type='list', elements='dict', default=[], options=dict(
                where=dict(type='str', required=True, choices=['folder', 'folder_name', 'file', 'name', 'suffix']),
                pattern=dict(type='str', required=True), reason=dict(type='str', required=True))),
            state_path=dict(type='path'),
            unlock_key=dict(type='str', no_log=True),
            **shared.SOURCE_ARGUMENTS
        ),
        supports_check_mode=True,
    )
    shared.run(module, gather)


if __name__ == '__main__':
    main()
