#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_bundle_info
short_description: Verify and describe bundles of rescued Docker data
version_added: 1.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Reads bundles that M(lifeboat.docker.docker_data_rescue) wrote, checks every file against its checksum and reports differences.
options:
  path:
    description: A bundle, or a folder that holds bundles up to three levels below it.
    type: path
    required: true
  verify:
    description:
      - Reads every file and compares its checksum. Without it only the presence and the size of files are compared, and no bundle
        gets the status V(verified).
    type: bool
    default: true
  allowed_signers:
    description:
      - A file as C(ALLOWED SIGNERS) of C(ssh-keygen) describes it. Each bundle must then be signed by one of them, as
        C(sign) of M(lifeboat.docker.docker_data_rescue) does. One without a signature is V(incomplete), one with a wrong signature V(damaged).
      - Needs C(ssh-keygen) of OpenSSH 8.2 or newer where the module runs.
    type: path
    version_added: 2.0.0
extends_documentation_fragment:
  - lifeboat.docker.docker_disk.attributes
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
- name: Are all rescued bundles whole
  lifeboat.docker.docker_bundle_info:
    path: /srv/rescued
  register: rescued

- name: Stop if one is not
  ansible.builtin.assert:
    that: rescued.bundles | rejectattr('status', 'equalto', 'verified') | length == 0
"""

RETURN = r"""
bundles:
  description: One entry for each bundle that was found.
  returned: always
  type: list
  elements: dict
  contains:
    path: {description: Folder of the bundle., type: str, returned: always}
    status:
      description:
        - V(verified), V(damaged) (a file differs) or V(incomplete) (a file is missing).
        - V(unverified) if O(verify=false) and nothing was found wrong.
      type: str
      returned: always
    differences: {description: 'C(file) and C(problem) of each difference.', type: list, elements: dict, returned: always}
    extra: {description: Files that do not belong to the bundle., type: list, elements: str, returned: always}
    kind: {description: 'V(container), V(volume), V(orphan), V(image) or V(deployment).', type: str, returned: always}
    name: {description: Name of the container or volume., type: str, returned: always}
    id: {description: ID of the container., type: str, returned: always}
    created: {description: When the bundle was written., type: str, returned: always}
    subject_created: {description: When the container was created; empty if that is not known., type: str, returned: always}
    rescue_status: {description: 'Status of the rescue: V(complete), V(partial), V(lost) or V(unsupported).', type: str, returned: always}
    source: {description: Host and data root that it was rescued from., type: dict, returned: always}
    volumes:
      description: C(name) of each of its volumes, and C(stable_name), which an anonymous one has in a restore.
      type: list
      elements: dict
      returned: always
    components:
      description:
        - C(name), C(kind), C(file), C(bytes), C(sha256), C(status). Those of the kind C(dump) also have C(engine), C(version), C(data_path),
          C(tables), C(rows), C(marks) and C(missing).
      type: list
      elements: dict
      returned: always
    signature:
      description:
        - C(status) is V(valid), V(missing) or V(invalid). C(signer) is the name in O(allowed_signers), C(reason) says what is wrong.
        - C(custody) is the record of who rescued it, when, from which device and with which tool, if its own signature is valid.
      type: dict
      returned: if O(allowed_signers) is set
      version_added: 2.0.0
    problems: {description: What the rescue reported., type: list, elements: dict, returned: always}
unfinished:
  description: Folders of bundles that a rescue began and did not end, and that are not there. Run the same rescue again.
  type: list
  elements: str
  returned: always
  version_added: 2.0.0
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, reading
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording


def inspect(module: AnsibleModule) -> Dict[str, Any]:
    path = os.path.abspath(wording.raw(module.params['path']))
    allowed = module.params['allowed_signers']
    bundles = info.inspect(path, module.params['verify'], wording.raw(allowed) if allowed else None)
    unfinished = [wording.text(one) for one in reading.unfinished(path)]
    for one in unfinished:
        module.warn('%s was begun and is not there: run the same rescue again.' % wording.show(one))
    return dict(changed=False, bundles=bundles, unfinished=unfinished)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type='path', required=True),
            verify=dict(type='bool', default=True),
            allowed_signers=dict(type='path'),
        ),
        supports_check_mode=True,
    )
    shared.run(module, inspect)


if __name__ == '__main__':
    main()
