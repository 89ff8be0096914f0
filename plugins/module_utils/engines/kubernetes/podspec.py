"""What a pod's own specification says, as JSON: of the annotation that `kubectl apply` leaves, or of a database of the cluster."""
from typing import Any, Dict

from ...disk import metadata
from ..shared.containerd.objects import json_of
from .records import Record
from .volumes import Spec

LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
RESTART = {'Always': 'always', 'OnFailure': 'on-failure', 'Never': 'no'}


def of_sandbox(sandbox: Record) -> Dict[str, Any]:
    """The `spec` in the annotation of a pod's sandbox, {} where nobody applied the pod itself. One that a Deployment made has none."""
    raw = metadata.strings_of(sandbox.config, 'annotations').get(LAST_APPLIED, '')
    return metadata.dict_of(json_of(raw.encode('utf-8', 'replace')), 'spec')


def volumes(spec: Dict[str, Any]) -> Dict[str, Spec]:
    """{name of a volume: Spec}."""
    found = {}
    for item in metadata.list_of(spec, 'volumes'):
        name = metadata.text_of(item, 'name')
        if name:
            found[name] = Spec(metadata.text_of(item, 'persistentVolumeClaim', 'claimName'), metadata.text_of(item, 'emptyDir', 'medium') == 'Memory', True)
    return found


def container(spec: Dict[str, Any], name: str) -> Dict[str, Any]:
    """The entry of a container, {} if there is none."""
    for key in ('containers', 'initContainers'):
        for item in metadata.list_of(spec, key):
            if metadata.text_of(item, 'name') == name:
                return item
    return {}


def restart(spec: Dict[str, Any]) -> str:
    """The restart policy in the words of Docker, '' where it is not known."""
    return RESTART.get(metadata.text_of(spec, 'restartPolicy'), '')
