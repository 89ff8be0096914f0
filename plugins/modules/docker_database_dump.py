#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_database_dump
short_description: Dump the databases of dead containers with the servers of their own images
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Finds the databases of containers by their content, lets the server of the container's own image recover each in a copy-on-write view of
    its layers and volumes, and writes what its own dump program says. No daemon, no network and no password is needed.
  - Knows PostgreSQL, MariaDB, MySQL, Redis, Valkey, SQLite, etcd, InfluxDB, RabbitMQ and MongoDB. SQLite and etcd need no program of the image.
  - If layers of the container's image are lost, another image of the same host is used, if it has the same server of the same version. RV(dumps[].marks)
    names it, as C(other_image). Without one the code is C(DUMP_LAYERS_LOST).
  - The disk is not written, and no access time on it changes. What recovery changes goes to memory or to a file in O(scratch_dir), and is
    thrown away.
  - A dump is an addition. It is smaller than the data and every later version can read it, but it is not exact. Rescue the raw data too, with
    M(lifeboat.docker.docker_data_rescue), and before this where a disk is failing.
options:
  from:
    description:
      - V(source) dumps in place, out of the data root of a dead host. Only root may do that.
      - V(bundle) dumps out of bundles that were rescued before, on any machine with an architecture that the images run on. Each bundle in
        O(path) is verified and unpacked into O(scratch_dir) while it is worked on. It needs the data, and its C(image) or C(rootfs), or another
        bundle of the same host in O(path) that has an image with the same server. At most five are tried.
        Use this where a disk is failing, so that it is read only once.
      - From bundles an ordinary user can dump, too, where the system allows user namespaces (Linux 5.11 or later, C(user.max_user_namespaces)
        above 0, no rule of AppArmor or SELinux against it). It cannot be done in a container without the capability C(SYS_ADMIN).
        Device nodes of an image are left out.
    type: str
    choices: [source, bundle]
    default: source
  path:
    description: A bundle, or a folder of bundles, on the managed node. Required with O(from=bundle).
    type: path
  dest:
    description:
      - Folder on the managed node that receives the dumps, as C(DEST/HOST/CONTAINER-ID.dumps/ENGINE-N.sql.zst) with C(dumps.json) and the
        logs beside them. Files have mode 0600, since a dump holds roles with their password hashes.
      - It must not lie in what is read. It should be on another disk.
    type: path
    required: true
  databases:
    description: Kinds of databases, of V(etcd), V(influxdb), V(mariadb), V(mongodb), V(mysql), V(postgresql), V(rabbitmq), V(redis), V(sqlite)
      and V(valkey). Empty means all.
    type: list
    elements: str
    default: []
  scratch_dir:
    description:
      - Folder for what recovery changes, on another disk than the data. It takes up to 1.2 times the size of a database.
      - By default memory, where half of what is free is enough, else C(/var/tmp), unless that is on the disk of the data.
      - With O(from=bundle) the content of each bundle is unpacked here, too, by default into C(/var/tmp). An ordinary user has the changes in
        memory always.
    type: path
  scratch_size:
    description: At most so much for it, as bytes or as V(2GiB). V(0) means what the data need.
    type: str
    default: '0'
  timeout:
    description: Time limit for each database, in seconds or as V(10m).
    type: str
    default: 1h
  memory:
    description: Address space that each program of an image may take, as bytes or as V(2GiB).
    type: str
    default: 2GiB
  verify:
    description:
      - V(counts) counts the rows of every table in the recovered server, and compares them with those that are in the dump. Where they are not
        equal, or could not be counted, the dump is C(partial) and RV(dumps[].missing) names the table.
      - V(none) saves that time.
    type: str
    choices: [counts, none]
    default: counts
extends_documentation_fragment:
  - lifeboat.docker.docker_disk
  - lifeboat.docker.docker_disk.output
  - lifeboat.docker.docker_disk.attributes
  - lifeboat.docker.docker_disk.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every run dumps anew.
notes:
  - Programs of the image run without any capability, in namespaces of their own without a network, behind a filter of system calls, and with
    limits on memory, processes, disk and time. Still they are programs that somebody else has built. For images that you do not trust, run
    this on a machine that you can throw away.
  - Whoever loads a dump runs its SQL. Commands to psql are taken out of dumps of PostgreSQL. Load those of MariaDB and MySQL with
    C(--binary-mode). Nothing is loaded automatically.
  - The filter of system calls exists for x86_64 and aarch64. Elsewhere programs run without it.
  - MongoDB and InfluxDB 2 are written by their documentation, not proven like the others on servers that were killed while they wrote.
seealso:
  - module: lifeboat.docker.docker_data_rescue
  - module: lifeboat.docker.docker_layer_facts
"""

EXAMPLES = r"""
- name: Every database of the host
  lifeboat.docker.docker_database_dump:
    dest: /mnt/usb/dumps
  become: true

- name: One container of a disk that is mounted elsewhere
  lifeboat.docker.docker_database_dump:
    host_root: /mnt/dead
    dest: /mnt/usb/dumps
    containers: [shop-db]
    databases: [postgresql]
    scratch_dir: /mnt/usb/tmp
  become: true

- name: Out of bundles, on a machine that can be thrown away
  lifeboat.docker.docker_database_dump:
    from: bundle
    path: /srv/rescued/deadhost
    dest: /srv/dumps
"""

RETURN = r"""
dumps:
  description: One entry for each database.
  returned: always
  type: list
  elements: dict
  contains:
    container: {description: Name of the container., type: str, returned: always}
    container_id: {description: Its ID., type: str, returned: always}
    engine: {description: Kind of the database., type: str, returned: always}
    version: {description: Version of the data or of the server., type: str, returned: always}
    data_path: {description: Where it lies in the container., type: str, returned: always}
    status:
      description: V(complete), V(partial) (see RV(dumps[].missing)), V(unsupported) (it cannot be done here) or V(failed).
      type: str
      returned: always
    file: {description: Path of the dump on the managed node., type: str, returned: when one was written}
    bytes: {description: Size of that file., type: int, returned: always}
    sha256: {description: Its checksum., type: str, returned: when one was written}
    counts: {description: Rows of each table in the recovered server., type: dict, returned: always}
    marks: {description: 'What is good to know, such as the state of the data, or C(other_image).', type: list, elements: str, returned: always}
    missing: {description: What is not in the dump., type: list, elements: str, returned: always}
    seconds: {description: How long it took., type: float, returned: always}
    log: {description: 'The end of what the server said, with secrets replaced.', type: str, returned: always}
problems: {description: 'C(code), C(severity), C(object), C(message), C(next_step).', type: list, elements: dict, returned: always}
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording


def dump(module: AnsibleModule) -> Dict[str, Any]:
    given = module.params
    os.umask(0o077)
    request = run.Request(
        dest=os.path.abspath(os.fsencode(given['dest'])), host_name=given['host_name'], containers=tuple(given['containers']),
        databases=tuple(given['databases']), compression=given['compression'],
        scratch_dir=os.fsencode(given['scratch_dir']) if given['scratch_dir'] else None, scratch_size=given['scratch_size'],
        timeout=given['timeout'], memory=given['memory'], verify=given['verify'], check_mode=module.check_mode,
        path=os.path.abspath(os.fsencode(given['path'])) if given['path'] else b'')
    if given['from'] == 'bundle':
        result = run.dump_bundles(request)
    else:
        with registry.host_of(given) as host:
            result = run.dump(host, request)
    if not any(item['status'] in ('complete', 'partial') for item in result['dumps']):
        first = result['dumps'][0]
        raise LifeboatError('Of %s none was dumped. The first, %s in %s: %s' % (
            wording.number(len(result['dumps']), 'database'), first['engine'], first['container'], '; '.join(first['missing']) or 'see its log'))
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            dict(shared.SOURCE_ARGUMENTS, **shared.OUTPUT_ARGUMENTS),
            databases=dict(type='list', elements='str', default=[]),
            scratch_dir=dict(type='path'),
            scratch_size=dict(type='str', default='0'),
            timeout=dict(type='str', default='1h'),
            memory=dict(type='str', default='2GiB'),
            verify=dict(type='str', choices=['counts', 'none'], default='counts'),
            path=dict(type='path'),
            **{'from': dict(type='str', choices=['source', 'bundle'], default='source')},
        ),
        required_if=[('from', 'bundle', ['path'])],
        supports_check_mode=True,
    )
    shared.run(module, dump)


if __name__ == '__main__':
    main()
