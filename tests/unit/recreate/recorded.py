"""A definition from what Docker recorded, in one call."""
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import definition as docker
from ansible_collections.lifeboat.docker.plugins.module_utils.records import definition as definitions


def define_recorded(config, hostconfig, image_config, image, mounts=(), name=None, container_id=None, volume_names=None, volume_info=None,
                    network_info=None, peers=None):
    """CONFIG and HOSTCONFIG as read from disk, IMAGE_CONFIG the image's `config` or None, the rest as definition.resolved() takes it;
    VOLUME_INFO and NETWORK_INFO as plain data."""
    return definitions.resolved(
        docker.define(config, hostconfig), image, None if image_config is None else definitions.image_defaults(image_config), name or '',
        container_id or '', tuple(mounts), volume_names,
        dict((key, definitions.volume_settings(info)) for key, info in (volume_info or {}).items()),
        dict((key, definitions.network_settings(info)) for key, info in (network_info or {}).items()), peers or {})
