"""Definitions of RabbitMQ: what they are compared with, and what is said where something is not in them."""
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import rabbitmq
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Refused
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.target import Target

DEFINITIONS = json.dumps({'rabbit_version': '3.10.8', 'vhosts': [{'name': '/'}], 'users': [{'name': 'guest'}, {'name': 'ann'}],
                          'queues': [{'name': 'q'}], 'bindings': []}).encode()


def judged(content=DEFINITIONS, said=b'{1,2,1,0}\n', verify=True):
    return rabbitmq.judged(content, said, ['m'], verify)


def test_equal_counts_are_whole():
    assert judged() == {'version': '3.10.8', 'counts': {'vhosts': 1, 'users': 2, 'queues': 1, 'bindings': 0}, 'marks': ['m'], 'partial': []}
    assert judged(verify=False)['counts'] == {} and judged(said=b'{1,2,9,0}', verify=False)['partial'] == []


@pytest.mark.parametrize('content, said, words', [
    (DEFINITIONS, b'{1,2,3,0}', '1 of 3 queues are in it'), (DEFINITIONS, b'{2,2,1,0}', '1 of 2 vhosts are in it'),
    (DEFINITIONS, b'{1,2,1,20}', 'messages are not in it: 20 were in its queues'), (DEFINITIONS, b'Error: nodedown', 'could not be counted'),
    (DEFINITIONS[:-1], b'{0,0,0,0}', 'no JSON that ends'), (b'[]', b'{0,0,0,0}', 'no JSON that ends'),
    (b'[' * 100000, b'{0,0,0,0}', 'no JSON that ends')])
def test_what_is_missing_is_named(content, said, words):
    assert [words in sentence for sentence in judged(content, said)['partial']] == [True]


@pytest.mark.parametrize('name', [b'mnesia', b'rabbit@', b'rabbit@host"]}. x', b'rabbit@a b', b'@host', b'rabbit@' + b'x' * 80, b'rabbit@h\n'])
def test_a_folder_that_is_not_called_after_a_node_is_refused(name):
    """The name goes into a configuration and an environment."""
    with pytest.raises(Refused, match='name of a node'):
        rabbitmq.dump(None, Target('rabbitmq', b'/var/lib/rabbitmq/mnesia/' + name, '', {}, 0))


def test_nodes_of_a_cluster_are_counted(tmp_path):
    assert rabbitmq._members(str(tmp_path)) == []
    (tmp_path / 'cluster_nodes.config').write_text('{[rabbit@a],[rabbit@a]}.\n')
    assert rabbitmq._members(str(tmp_path)) == []
    (tmp_path / 'cluster_nodes.config').write_text('{[rabbit@a,rabbit@b],[rabbit@a]}.\n')
    assert rabbitmq._members(str(tmp_path)) == ['one of 2 nodes of a cluster, started without the others']


def test_flags_are_read_from_a_file_only(tmp_path):
    path = os.fsencode(str(tmp_path / 'flags'))
    assert rabbitmq._flags(path) == ''
    (tmp_path / 'other').write_text('[quorum_queue].')
    os.symlink(str(tmp_path / 'other'), path)
    assert rabbitmq._flags(path) == ''
    assert rabbitmq._flags(os.fsencode(str(tmp_path / 'other'))) == '[quorum_queue].'
    os.mkfifo(str(tmp_path / 'fifo'))
    assert rabbitmq._flags(os.fsencode(str(tmp_path / 'fifo'))) == ''
