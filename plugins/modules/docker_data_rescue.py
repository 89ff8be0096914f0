#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_data_rescue
short_description: Rescue the data of containers of a Docker host that does not run
version_added: 1.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Writes a bundle for every container. A bundle is a folder with the writable layer, volumes, logs and configuration. It can be verified
    with C(sha256sum -c) and restored with nothing but C(tar).
  - Reads the disk only. No daemon is asked or started, and nothing is written below the data root.
  - A bundle gets its name only when it is complete. If a run is interrupted, the next run continues it.
options:
  dest:
    description:
      - Folder that receives the bundles, as C(<dest>/<host>/<container>-<first 12 digits of its ID>).
      - It must not lie inside a data root, nor below C(/dev). It is created if it does not exist. There is a warning if it is on the file
        system that is rescued, in memory, or in a folder for mounts where nothing is mounted.
      - Folders below it that are links, belong to another user or can be written by others are refused. While a rescue runs, its
        folder is locked. A second rescue waits a little, then fails and names the process that has the lock.
    type: path
    required: true
  include:
    description:
      - What a bundle holds.
      - V(image) is the image with the writable layer on top, in a format that C(docker load) accepts on every engine. Layers that
        several bundles share are stored once, in C(images) beside them.
      - V(rootfs) is the merged file system as C(docker export) gives it. V(binds) are the host folders that were bind-mounted.
      - A bind that is too wide (C(/), folders of the system, folders that contain the data root or O(dest)) is left out. The problem
        C(BIND_TOO_WIDE) names it.
      - If mounts with data are left out because of this option, the problem C(NOT_INCLUDED) of severity C(info) and
        RV(summary.left_behind) name them. The status of the bundle does not change.
      - V(secrets) (new in version 2.0.0, never by default) are the values of the secrets of Podman that a container was given, each in a file
        of its own that only its owner may read. Results and reports name them and have neither value nor checksum of one. Values that
        another driver than C(file) keeps are not on the disk (C(SECRET_LOST)). Without it, C(SECRETS_LEFT_OUT) names them.
      - V(dumps) (new in version 2.0.0, root only, never by default) is a dump of each database of the container, written by the database
        server of its own image in a copy-on-write view, as M(lifeboat.docker.docker_database_dump) does it. It comes after everything else
        of the bundle. One that fails makes the bundle V(partial) and costs nothing else; the next run tries again. If a disk is failing,
        rescue without V(dumps) first. A dump never replaces the raw data.
    type: list
    elements: str
    choices: [config, writable, rootfs, image, volumes, binds, logs, secrets, dumps]
    default: [config, writable, image, volumes, binds, logs]
  dump_scratch_dir:
    description:
      - With V(dumps) in O(include), the folder for what recovery of a database changes, on another disk than the data. By default memory, where
        half of what is free is enough, else C(/var/tmp), unless that is on the disk of the data.
    type: path
    version_added: 2.0.0
  dump_timeout:
    description: With V(dumps) in O(include), the time limit for each database, in seconds or as V(10m).
    type: str
    default: 1h
    version_added: 2.0.0
  volumes:
    description: Further volumes to rescue, by name or glob, each into a bundle of its own. V(*) means every volume.
    type: list
    elements: str
    default: []
  images:
    description:
      - Images to rescue without a container, by reference, ID or glob, each into a bundle of its own. No container has to use them.
    type: list
    elements: str
    default: []
  paths:
    description:
      - Only these files and folders, as C(OBJECT:GLOB). The object is the name of a container (or a glob of names), C(volume:NAME),
        C(layer:NAME) or C(image:REF); the glob is a path in it, for a container as its processes saw it, with volumes and binds at
        their destinations.
      - C(*), C(?) and C([...]) match within a name, a component C(**) matches any number of folders, and at the end everything below. A
        folder is taken with everything below it. Links are followed only in the first part of the path, before any glob, and are rescued too.
      - The files of an object become the component C(paths/NAME.tar.*) of its bundle, with their folders. A restore does not
        use it; C(README.txt) says how to unpack it.
      - Without O(containers), O(volumes), O(images) and O(orphans), only the paths are rescued, and O(include) has no effect. With one of
        them, these objects are rescued too.
      - A pattern that matches nothing is an error that names the nearest folder that exists; nothing is written then.
    type: list
    elements: str
    default: []
  deployment:
    description:
      - Also takes the original files by which the containers were started, into the bundle C(deployment) beside the others. These are
        compose files with everything that they name, stacks and apps of Portainer, Dockge, Coolify, CapRover, Dokku, 1Panel, CasaOS,
        Unraid, TrueNAS and Synology, units of systemd and Quadlets that start containers, and scripts of cron that do.
      - Says in RV(deployment) what Compose would change if the files were started again.
      - It needs V(config) in O(include). If O(containers) names containers, only files that their labels name are taken. With
        O(volumes), O(images) or O(paths) alone it has no effect.
    type: bool
    default: true
    version_added: 2.0.0
  deployment_credentials:
    description:
      - With O(deployment), also takes what the command lines of Docker and Podman keep in C(/root) and C(/home). These are the credentials
        of registries, and contexts with the keys of other hosts. Without it they are only named, see C(left_out) in C(deployment.json).
    type: bool
    default: false
    version_added: 2.0.0
  open_files:
    description:
      - Also takes what was deleted, but is still open. Only for a host that runs and whose containers still run, such as after C(rm -rf) of a
        volume's folder. It does not work with the O(host_root) of another host.
      - The files that the processes of a container hold open or mapped and that have no name any more become the component C(open-files) of its
        bundle, below the folders that they were in. C(manifest.json) lists what could not be named.
      - A volume or bind whose folder is gone from the disk, and that a mount of the container still leads to, is read through that mount.
      - The processes stand still meanwhile, at most O(freeze_timeout). Their control group is frozen. Where that cannot be done, they get SIGSTOP, and
        SIGCONT afterwards.
      - C(docs/undelete.md) says what can come back.
    type: bool
    default: false
    version_added: 2.0.0
  orphans:
    description: Also rescues writable layers that no container owns.
    type: bool
    default: false
  on_error:
    description:
      - What happens when a file cannot be read. V(continue) records it and rescues everything else; V(fail) ends the module.
    type: str
    choices: [continue, fail]
    default: continue
  owner_ids:
    description:
      - For roots of user namespaces (userns-remap, rootless). V(container) writes owners as the container saw them, V(disk) as they
        are on the disk.
    type: str
    choices: [container, disk]
    default: container
  check_space:
    description: Refuses to start if O(dest) certainly has too little room.
    type: bool
    default: true
  image_optional:
    description:
      - With V(image) in O(include), leaves images out and says so (C(IMAGE_LEFT_OUT)) if O(dest) has no room for them. A bundle with all its
        data is still V(complete) then; see RV(summary.left_behind).
      - V(false) refuses to start instead.
    type: bool
    default: true
  binds_optional:
    description:
      - With V(binds) in O(include), leaves as many binds out as O(dest) has no room for, the largest first, and says so
        (C(BIND_LEFT_OUT)). The bundle is V(partial) then.
      - V(false) refuses to start instead.
    type: bool
    default: true
  force:
    description: Writes again what is already there and verified.
    type: bool
    default: false
  store_on:
    description:
      - On which machine O(dest) is.
      - With V(controller) the bundles are sent to O(dest) on the machine that runs Ansible, over the connection of Ansible.
        The managed node needs free space only for the spool.
      - This needs a connection plugin that can fetch files, and a user who logs in as root, becomes root, or does not become
        anyone. Becoming another unprivileged user does not work, because the user who logs in cannot read the files of that user.
    type: str
    choices: [host, controller]
    default: host
  spool_dir:
    description:
      - Folder on the managed node for the spool of O(store_on=controller).
      - The default is the first of C(/dev/shm), C(/run) and the folders for temporary files that has room, and from which the
        connection can fetch. Some connections into containers do not see what is mounted inside, such as C(/dev/shm).
    type: path
  spool_size:
    description:
      - How much the spool may hold, in bytes or as V(64M), V(1GiB); at least V(2M). The rescue waits while it is full.
    type: str
    default: 64M
  progress:
    description:
      - Shows a line every few seconds with what is being read, how much of it, how fast, and how long it will take.
      - V(auto) does so on a terminal, and under AWX and ansible-runner.
    type: str
    choices: [auto, 'true', 'false']
    default: auto
  quiesce:
    description:
      - V(freeze) stops the processes of a container that still runs (the freezer of its control group) while its files are read,
        and lets them go on afterwards, also if the module is killed.
    type: str
    choices: [none, freeze]
    default: none
  freeze_timeout:
    description:
      - How long a container stays frozen at most, in seconds or as V(5m). What is read later is marked as crash-consistent.
    type: str
    default: 5m
  io_class:
    description: Gives other programs of a live host priority when the disk is read.
    type: str
    choices: [normal, best-effort, idle]
    default: normal
  max_bytes:
    description:
      - How much data (before compression) to rescue at most, in bytes or as V(20G). Bundles that would exceed it are left out and reported.
      - V(0) means no limit.
    type: str
    default: '0'
  confirm_dest:
    description:
      - With O(store_on=controller) a O(dest) in the container of a job of AWX or ansible-runner is refused, because it is deleted with
        the job. This is below C(/runner), and everywhere where nothing is mounted from outside. V(true) says that the path stays.
    type: bool
    default: false
  reconnect_timeout:
    description:
      - For how long a lost connection is tried again, in seconds or as V(10m), with O(store_on=controller).
    type: str
    default: 2m
  sign:
    description:
      - A private key of ssh on the controller, or the public one if an agent has the private one. C(SHA256SUMS) of each bundle is signed with
        it on the controller, and a custody record (C(custody.json), who rescued what, when, from which device, with which code) as well.
        C(allowed_signers) of M(lifeboat.docker.docker_bundle_info) verifies both. Nothing of the key comes to the host.
      - A bundle with good signatures of this key is left as it is. With those of another key the task fails, and they stay.
      - Needs O(store_on=controller), and C(ssh-keygen) of OpenSSH 8.2 or newer on the controller.
    type: str
    version_added: 2.0.0
  report_dir:
    description:
      - Folder on the controller that receives a record of the rescue of this host, for
        P(lifeboat.docker.rescue_report#filter). It is written even if the host fails or does not answer.
    type: path
  fail_on:
    description:
      - Which result is a failure of the task, after everything that can be rescued was. V(lost) fails if a bundle is lost, or if
        nothing was found that can be rescued; V(partial) also if a bundle is partial or unsupported.
    type: str
    choices: [never, lost, partial]
    default: lost
  delivery:
    description: Internal. Set by the action plugin.
    type: dict
extends_documentation_fragment:
  - lifeboat.docker.docker_disk
  - lifeboat.docker.docker_disk.output
  - lifeboat.docker.docker_disk.attributes
  - lifeboat.docker.docker_disk.actiongroup
attributes:
  check_mode:
    support: full
    details: Says what would be written, and how large its data are before compression.
  diff_mode:
    support: none
  idempotent:
    support: full
    details: Whether the source is unchanged is decided by C(stat) of every file. The existing bundle is verified.
seealso:
  - module: lifeboat.docker.docker_layer_facts
  - module: lifeboat.docker.docker_bundle_info
"""

EXAMPLES = r"""
- name: Rescue everything that a dead Docker host holds
  lifeboat.docker.docker_data_rescue:
    dest: /srv/rescued
  become: true

- name: One database from the disk of another machine, with its whole file system
  lifeboat.docker.docker_data_rescue:
    host_root: /mnt/dead
    containers: [shop-db]
    include: [config, writable, rootfs, image, volumes, binds, logs]
    dest: /srv/rescued
  become: true

- name: A host whose disk is full, to the machine that runs Ansible
  lifeboat.docker.docker_data_rescue:
    dest: /srv/rescued
    store_on: controller
    progress: true
  become: true

- name: Three folders, and nothing else
  lifeboat.docker.docker_data_rescue:
    paths:
      - web:/srv/uploads/**
      - shop-db:/var/lib/db
      - volume:shop_data:/
    dest: /srv/rescued-paths
  become: true

- name: The raw data of a database, and a dump of its rows beside them
  lifeboat.docker.docker_data_rescue:
    containers: [shop-db]
    include: [config, writable, image, volumes, binds, logs, dumps]
    dest: /srv/rescued
  become: true

- name: The folder of a volume was removed, and its container still runs
  lifeboat.docker.docker_data_rescue:
    containers: [shop-db]
    open_files: true
    dest: /srv/rescued
  become: true

- name: Every volume, whoever used it
  lifeboat.docker.docker_data_rescue:
    volumes: ['*']
    include: [config]
    dest: /srv/rescued-volumes
  become: true
"""

RETURN = r"""
bundles:
  description: One entry for each bundle.
  returned: always
  type: list
  elements: dict
  contains:
    path: {description: Folder of the bundle., type: str, returned: always}
    kind: {description: 'V(container), V(volume), V(orphan), V(image) or V(deployment).', type: str, returned: always}
    container: {description: Name of the container., type: str, returned: always}
    id: {description: Its full ID., type: str, returned: always}
    status: {description: 'V(complete), V(partial), V(lost) or V(unsupported).', type: str, returned: always}
    changed: {description: Whether it was written., type: bool, returned: always}
    bytes: {description: 'Size of its components; in check mode of their data before compression.', type: int, returned: always}
    files: {description: Number of files in the bundle., type: int, returned: always}
    problems: {description: 'The gravest five problems of the bundle, as in RV(problems).', type: list, elements: dict, returned: always}
    components:
      description:
        - C(name), C(kind), C(file), C(bytes), C(sha256), C(entries), C(status). Those of the kind C(dump) also have C(engine), C(version),
          C(data_path), C(tables), C(rows), C(marks) and C(missing).
      type: list
      elements: dict
      returned: always
problems:
  description: What is missing or uncertain, with the next step.
  returned: always
  type: list
  elements: dict
compose:
  description:
    - Compose files beside the bundles that were written or removed, C(compose.yaml) of the whole host and C(compose-PROJECT.yaml) of each
      compose project. They are made of all bundles that lie there.
  returned: always
  type: list
  elements: str
deployment:
  description: What is found of the original files, null where O(deployment) has no effect. All of it is in C(deployment.json) of the bundle.
  returned: always
  type: dict
  version_added: 2.0.0
  contains:
    deployments: {description: 'How many compose projects, apps, units and scripts were found.', type: int, returned: always}
    files: {description: Files that are taken., type: int, returned: always}
    archives: {description: 'Build contexts and repositories that are taken, each as an archive.', type: int, returned: always}
    left_out: {description: Files that something names and that are not taken., type: int, returned: always}
    compared: {description: Containers that were compared with their compose files., type: int, returned: always}
    differences:
      description:
        - What Compose would change if the original files were started again, the first 200. C(project), C(service), C(container);
          C(what) is V(image), V(environment), V(entrypoint), V(command), V(port), V(mount), V(network) or V(service); C(name) which of
          them; C(file) what the files say, C(ran) what ran. Values of variables are not in it.
      type: list
      elements: dict
      returned: always
    differences_total: {description: All of them., type: int, returned: always}
    undecided: {description: 'What could not be compared, each with the reason, the first 200.', type: list, elements: str, returned: always}
    undecided_total: {description: All of them., type: int, returned: always}
summary:
  description: Counts.
  returned: always
  type: dict
  sample: {bundles: 3, written: 3, complete: 3, partial: 0, lost: 0, unsupported: 0, bytes: 4096, problems: 0,
           left_behind: {binds: 1, volumes: 0, layers: 0, images: 0, names: ['web: /srv/www at /var/www']}}
  contains:
    left_behind:
      description:
        - What belongs to the containers, is on the disk, and is not in their bundles, because O(include) does not name it or O(dest) has no
          room for it. C(binds), C(volumes), C(layers) (writable layers) and C(images) are counts; C(names) has the first 20.
      type: dict
      returned: always
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import plan
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import ioclass, run


def rescue(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    delivery = params.pop('delivery')
    if params.pop('sign'):
        raise shared.LifeboatError('sign works with store_on: controller, where the key is')
    if delivery is not None:
        from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import sender
        return {'changed': False, 'delivery': sender.start(params, delivery, module.check_mode)}
    if params['store_on'] == 'controller':
        raise shared.LifeboatError('store_on: controller works through the action plugin of this module only. Call it '
                                   'as lifeboat.docker.docker_data_rescue in a task')
    ioclass.apply(params['io_class'])
    with registry.host_of(params) as host:
        result = run.rescue(host, run.request_of(params, module.check_mode))
    why = run.verdict(result, params['fail_on'])
    return dict(result, failed=True, msg=why) if why else result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            include=dict(type='list', elements='str', choices=list(plan.KINDS), default=list(plan.DEFAULT)),
            volumes=dict(type='list', elements='str', default=[]),
            images=dict(type='list', elements='str', default=[]),
            paths=dict(type='list', elements='str', default=[]),
            deployment=dict(type='bool', default=True),
            deployment_credentials=dict(type='bool', default=False),
            open_files=dict(type='bool', default=False),
            orphans=dict(type='bool', default=False),
            on_error=dict(type='str', choices=['continue', 'fail'], default='continue'),
            owner_ids=dict(type='str', choices=['container', 'disk'], default='container'),
            check_space=dict(type='bool', default=True),
            image_optional=dict(type='bool', default=True),
            binds_optional=dict(type='bool', default=True),
            force=dict(type='bool', default=False),
            store_on=dict(type='str', choices=['host', 'controller'], default='host'),
            spool_dir=dict(type='path'),
            spool_size=dict(type='str', default='64M'),
            progress=dict(type='str', choices=['auto', 'true', 'false'], default='auto'),
            quiesce=dict(type='str', choices=['none', 'freeze'], default='none'),
            freeze_timeout=dict(type='str', default='5m'),
            io_class=dict(type='str', choices=list(ioclass.CLASSES), default='normal'),
            max_bytes=dict(type='str', default='0'),
            dump_scratch_dir=dict(type='path'),
            dump_timeout=dict(type='str', default='1h'),
            confirm_dest=dict(type='bool', default=False),
            reconnect_timeout=dict(type='str', default='2m'),
            sign=dict(type='str'),
            report_dir=dict(type='path'),
            fail_on=dict(type='str', choices=['never', 'lost', 'partial'], default='lost'),
            delivery=dict(type='dict'),
            **dict(shared.SOURCE_ARGUMENTS, **shared.OUTPUT_ARGUMENTS)
        ),
        supports_check_mode=True,
    )
    os.umask(0o077)
    shared.run(module, rescue)


if __name__ == '__main__':
    main()
