#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_swarm_export
short_description: Write the services, networks, configs and secrets of a swarm out of a dead manager
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Reads the raft log and the snapshots of a swarm manager, without a daemon, and writes what it held as files on the managed node. Nothing of the
    swarm is written.
  - There is a stack file for each stack and one for services without a stack, a script that makes networks, secrets and configs that belong to
    no stack, and what C(docker service inspect), C(docker network inspect), C(docker node inspect), C(docker secret inspect) and
    C(docker config inspect) would have printed.
  - The content of secrets is written only if O(include) names them.
  - A worker has no state of the swarm. For it the containers are listed that were tasks of services, in C(swarm.json).
options:
  dest:
    description:
      - Folder on the managed node that receives the files, as C(DEST/HOST/swarm/) with C(SHA256SUMS). Files have mode 0600, folders 0700, since
        environment variables and configs may hold passwords.
      - It must not lie in what is read. It should be on another disk.
    type: path
    required: true
  host_name:
    description: Name of the folder in O(dest). By default the name of the dead host.
    type: str
  include:
    description: V(secrets) writes the content of secrets as C(secrets/NAME). Then the stack files can be deployed as they are.
    type: list
    elements: str
    choices: [secrets]
    default: []
  unlock_key:
    description: The unlock key of a swarm with autolock, as C(docker swarm unlock-key) prints it. Without it nothing of such a swarm can be read.
    type: str
extends_documentation_fragment:
  - lifeboat.docker.docker_disk
  - lifeboat.docker.docker_disk.attributes
  - lifeboat.docker.docker_disk.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - O(containers) has no effect.
  - Join tokens and the keys of the swarm's certificate authority are not written.
seealso:
  - module: lifeboat.docker.docker_data_rescue
  - module: lifeboat.docker.docker_layer_facts
"""

EXAMPLES = r"""
- name: Stack files and configs of a dead manager
  lifeboat.docker.docker_swarm_export:
    dest: /mnt/usb/rescue
  become: true

- name: With secrets, from a disk that is mounted elsewhere, of a swarm with autolock
  lifeboat.docker.docker_swarm_export:
    host_root: /mnt/dead
    dest: /mnt/usb/rescue
    include: [secrets]
    unlock_key: "{{ vault_unlock_key }}"
  become: true
"""

RETURN = r"""
folder: {description: Folder of the files on the managed node., type: str, returned: always}
files: {description: 'The files, relative to the folder of the host.', type: list, elements: str, returned: always}
swarms:
  description:
    - The swarm of each data root, without content of secrets and configs. It has C(kind), C(id), C(role) (V(manager) or V(worker)), C(node_id),
      C(status), C(locked), C(autolock), C(created), C(last_change), C(path), C(managers), C(nodes), C(services), C(networks), C(secrets), C(configs),
      C(tasks) and C(problems).
    - Values of environment variables are redacted, and arguments and labels that look secret.
  returned: always
  type: list
  elements: dict
problems: {description: 'C(code), C(severity), C(object), C(message), C(next_step).', type: list, elements: dict, returned: always}
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.swarm import export as swarm


def export(module: AnsibleModule) -> Dict[str, Any]:
    given = module.params
    os.umask(0o077)
    request = swarm.Request(dest=os.path.abspath(os.fsencode(given['dest'])), host_name=given['host_name'], include=tuple(given['include']),
                            unlock_key=given['unlock_key'] or '', check_mode=module.check_mode)
    with registry.host_of(given) as host:
        return swarm.export(host, request)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            shared.SOURCE_ARGUMENTS,
            dest=dict(type='path', required=True),
            host_name=dict(type='str'),
            include=dict(type='list', elements='str', choices=['secrets'], default=[]),
            unlock_key=dict(type='str', no_log=True),
        ),
        supports_check_mode=True,
    )
    shared.run(module, export)


if __name__ == '__main__':
    main()
