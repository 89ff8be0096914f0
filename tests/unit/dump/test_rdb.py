"""Whether what redis-cli wrote is a whole dump file."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import redis


@pytest.mark.parametrize('raw, whole', [
    (b'REDIS0011\xfe\x00\xff12345678', True), (b'REDIS0011\xff12345678', True), (b'VALKEY080\xff12345678', True), (b'REDIS0011\xfe\x00\xff1234567', False),
    (b'REDIS0011\xfe\x00', False), (b'', False), (b'-ERR no\n\xff12345678', False)])
@pytest.mark.parametrize('size', [1, 4, 100])
def test_it_has_a_beginning_and_an_end(raw, whole, size):
    watch = redis.Watch()
    for at in range(0, len(raw), size):
        watch.take(raw[at:at + size])
    assert watch.whole() is whole
