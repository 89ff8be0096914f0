#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_root_repair
short_description: Repair the records of a Docker data root so that the engine starts again
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Reports what is wrong with the records of a data root (O(state=planned), the default, which writes nothing), and repairs records
    that can be made from other records. The engine must be stopped.
  - Every step is in the plan with its reason. Before each step the original is written to a journal, and O(state=reverted) restores it
    byte for byte.
  - Never guesses. If two candidates are left, nothing is written, and RV(unresolved) says so.
  - Rescue the data before, with M(lifeboat.docker.docker_data_rescue). A repair is not a backup.
options:
  state:
    description:
      - V(planned) only looks.
      - V(guarded) holds what the next start of the engine would delete or start. It turns C(--rm) and restart policies off and clears
        C(Dead) where the layer is there.
      - V(repaired) does the guard and then all steps that are certain or rebuilt, and those that O(steps) names.
      - V(reverted) undoes everything that is in the journal. A path that was changed since is not touched, and RV(unresolved) names it.
    type: str
    choices: [planned, guarded, repaired, reverted]
    default: planned
  host_root:
    description: Folder on the managed node under which the root file system of the host is visible.
    type: path
    default: /
  data_root:
    description: The data root, as the host knows it. Needed only where the host has several.
    type: path
  containerd_root:
    description: Root of the containerd that holds the layers, for hosts with the containerd image store.
    type: path
  journal_dir:
    description:
      - Folder for the journal and the originals, on the managed node, never below the data root.
      - By default beside the data root, with the suffix C(.lifeboat-repair). Folders can only be moved aside inside of one file system.
    type: path
  steps:
    description:
      - Codes of steps that run although they are not certain (V(likely), V(choice), V(lost)). A code after C(!) does not run.
      - V(all) stands for every code; V(!all) for all that are not named. C(docs/repair.md) explains each code.
    type: list
    elements: str
    default: []
  names:
    description: Names of containers whose record is lost, by their ID or its beginning (at least four digits).
    type: dict
    default: {}
  policies:
    description:
      - With V(give_back) and O(state=repaired), only the restart policies that the guard had set to V(no) are restored, if they are still
        V(no). The engine must be stopped for it; on a running one use C(docker update --restart).
    type: str
    choices: [keep, give_back]
    default: keep
  donor:
    description:
      - Paths on the managed node that have undamaged copies of damaged image layers. Each is a bundle with C(image.tar), another data root, an archive of
        C(docker save), or a folder with an OCI image layout.
      - Every image layer is read and compared with its C(tar-split) data then. If a file differs, it is copied from the same
        layer (diffID) of a donor, if its checksum is right. The step is C(certain) if the layer then has its digest, else C(likely).
      - If the folder of a layer is gone, or its damage cannot be healed file by file (hard links, lost folders, very many bytes), the whole layer is made
        again. A damaged folder is moved aside.
      - If C(tar-split.json.gz) of a layer is gone or empty, it is made again from the tar of the layer.
    type: list
    elements: path
    default: []
  verify:
    description:
      - With V(offline), reads the whole root again after the repair and says which containers are complete.
      - With V(engine), also starts the C(dockerd) of the managed node with a copy of the records, compares what it lists, stops it and
        deletes the copy. It has namespaces of its own, no network and private sockets. No container is started, and it cannot see the data root.
        With O(state=planned) or in check mode the plan is applied to the copy only, so you know whether it helps before anything is changed.
    type: str
    choices: [none, offline, engine]
    default: none
extends_documentation_fragment:
  - lifeboat.docker.docker_disk.attributes
  - lifeboat.docker.docker_disk.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Values of the environment, and what looks like a secret, are redacted.
  idempotent:
    support: full
requirements:
  - Python 3.6 or later on the managed node, and root. No Docker is needed there.
notes:
  - Proven with real engines, Docker 20.10 and 28.5 with C(overlay2), and 28.5 with the containerd image store. Not with C(fuse-overlayfs), whose
    rules are tested on generated roots only. There, repair a copy of the data root first.
  - What a repair of each code does, and what is done by hand instead, is in C(docs/repair.md) of the collection.
seealso:
  - module: lifeboat.docker.docker_data_rescue
  - module: lifeboat.docker.docker_layer_facts
"""

EXAMPLES = r"""
- name: What is wrong, and what would be done
  lifeboat.docker.docker_root_repair:
  register: plan

- name: Repair what is certain, with a name that only we know
  lifeboat.docker.docker_root_repair:
    state: repaired
    names:
      4f0c5ad01b77: shop-web-1
    verify: offline

- name: See what dockerd would list after the repair, with files of damaged layers from a healthy host's archive
  lifeboat.docker.docker_root_repair:
    donor: [/mnt/usb/shop-image.tar]
    verify: engine

- name: Take everything back
  lifeboat.docker.docker_root_repair:
    state: reverted
"""

RETURN = r"""
data_root: {description: The data root on the managed node., type: str, returned: always}
hidden:
  description: What the engine does not list although nothing of it is broken. Read it first.
  returned: always
  type: list
  elements: dict
  contains:
    containers: {description: How many., type: int, returned: always}
    what: {description: Which., type: str, returned: always}
    setting: {description: 'What makes them visible, as one writes it in C(daemon.json).', type: str, returned: always}
    why: {description: What hides them., type: str, returned: always}
    warning: {description: What must not be done before., type: str, returned: always}
plan:
  description: Every step, in order.
  returned: always
  type: list
  elements: dict
  contains:
    code: {description: Code of the step., type: str, returned: always}
    path: {description: 'Relative to the data root; of a file outside of it, its path on the managed node.', type: str, returned: always}
    operation:
      description: V(write), V(mkdir), V(symlink), V(rename), V(aside) (moved into the journal) or V(place) (a layer from a donor).
      type: str
      returned: always
    to: {description: New path of a V(rename)., type: str, returned: always}
    why: {description: Which sources agreed., type: str, returned: always}
    certainty: {description: 'V(certain), V(rebuilt), V(likely), V(choice) or V(lost).', type: str, returned: always}
    selected: {description: 'Whether it is, or would be, done. Others need their code in O(steps).', type: bool, returned: always}
    done: {description: Whether it was done., type: bool, returned: always}
unresolved: {description: 'C(code), C(path), C(why) and C(next_step) of what stays broken.', type: list, elements: dict, returned: always}
journal: {description: 'Folder of the journal; empty if there is none.', type: str, returned: always}
verified:
  description:
    - With O(verify=offline) and O(verify=engine), C(status), C(complete), C(total) and C(containers), a status for each.
    - With O(verify=engine), C(engine) too, with C(status) (V(complete), V(partial), V(failed) or V(unsupported)), C(why), the C(version) of the
      engine, how many C(containers), C(images) and C(volumes) it lists, the names of its C(networks), what it does not list
      (C(hidden_containers), C(hidden_images), C(hidden_volumes)), and the last lines of its C(log).
  type: dict
  returned: always
problems: {description: 'C(code), C(severity), C(object), C(message), C(next_step).', type: list, elements: dict, returned: always}
"""

import os
from typing import Any, Dict, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run


def repair(module: AnsibleModule) -> Dict[str, Any]:
    given = module.params

    def path(name: str) -> Optional[bytes]:
        return os.fsencode(given[name]) if given[name] else None
    result = run.run(run.Request(
        state=given['state'], host_root=os.fsencode(given['host_root']), data_root=path('data_root'), containerd_root=path('containerd_root'),
        journal_dir=path('journal_dir'), steps=given['steps'], names={str(key): str(name) for key, name in given['names'].items()},
        policies=given['policies'], verify=given['verify'], donors=[os.fsencode(one) for one in given['donor']], check=module.check_mode))
    if not module._diff:
        del result['diff']
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type='str', choices=list(run.STATES), default=run.PLANNED),
            host_root=dict(type='path', default='/'),
            data_root=dict(type='path'),
            containerd_root=dict(type='path'),
            journal_dir=dict(type='path'),
            steps=dict(type='list', elements='str', default=[]),
            names=dict(type='dict', default={}),
            policies=dict(type='str', choices=[run.KEEP, run.GIVE_BACK], default=run.KEEP),
            donor=dict(type='list', elements='path', default=[]),
            verify=dict(type='str', choices=list(run.VERIFY), default=run.NONE),
        ),
        supports_check_mode=True,
    )
    shared.run(module, repair)


if __name__ == '__main__':
    main()
