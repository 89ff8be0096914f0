"""Every kind of source: a file of kinds/, and its line here, since Ansible sends those files to a managed node that an import names.

Programs come before the labels of Compose: they know variables that no file has.
"""
from typing import List

from .kinds import (
    caprover,
    casaos,
    client,
    compose,
    coolify,
    cron,
    dockge,
    dokku,
    onepanel,
    portainer,
    quadlet,
    synology,
    systemd,
    truenas,
    unraid,
)
from .model import Kind

KINDS: List[Kind] = [module.KIND for module in (
    portainer, dockge, coolify, caprover, dokku, onepanel, casaos, unraid, truenas, synology, compose, systemd, quadlet, cron, client)]
