"""Ids, names and what the engine says of its objects."""
import json


def test_every_container_is_there_and_as_the_engine_says(subject, facts):
    said = subject.containers()
    ours = {item['name']: item for item in facts['containers']}
    assert set(ours) == set(said) and len(ours) == len(facts['containers'])
    for name, expected in said.items():
        item = ours[name]
        assert (item['id'], item['created'], item['image']['id'], item['image']['reference']) == (
            expected.id, expected.created, expected.image_id, expected.image_reference), name
        assert (item['state']['status'], item['state']['running'], item['state']['exit_code'], item['state']['started_at']) == (
            expected.status, expected.running, expected.exit_code, expected.started_at), name
        assert item['log']['driver'] == expected.log_driver, name
        assert tuple(sorted((m['type'], m['name'] or '', m['destination'], m['rw']) for m in item['mounts'])) == expected.mounts, name
        assert set(item['labels']) == set(expected.labels), name
        for key, value in item['labels'].items():
            assert value in (expected.labels[key], 'REDACTED'), (name, key)


def test_the_map_of_user_ids(subject, facts):
    assert [bool(root['userns']) for root in facts['roots']] == [subject.userns]


def test_no_secret_is_shown(subject, facts):
    assert subject.secret and subject.secret not in json.dumps(facts)


def test_images_with_their_layers_in_order(subject, facts):
    said = subject.images()
    assert {item['id'] for item in facts['images']} == set(said)
    for item in facts['images']:
        expected = said[item['id']]
        assert tuple(sorted(ref for ref in item['references'] if '@' not in ref)) == expected.references
        assert tuple(layer['diff_id'] for layer in item['layers']) == expected.diff_ids
        assert item['status'] == 'complete', item['problems']


def test_each_image_layer_has_its_digest(subject, facts):
    """Every layer's tar, as the image had it, is made from the disk again; it has the digest that names it."""
    total = 0
    for item in facts['images']:
        found = item['integrity']
        assert (found['status'], found['config'], found['chain'], found['problems']) == ('complete', 'ok', 'ok', []), item['references']
        assert found['verified'] == len(item['layers'])
        total += found['bytes']
    # a layer of several images is read once
    assert total > 0


def test_layers_of_a_container_in_order(subject, facts):
    images = {item['id']: item for item in facts['images']}
    compared = 0
    for item in facts['containers']:
        layers = item['layers']
        if item['store'] == 'graphdriver':      # BuildKit's snapshots in containerd's store may have more parents than the image has layers
            assert layers['image'] == [layer['path'] for layer in reversed(images[item['image']['id']]['layers'])], item['name']
        said = subject.layers(item['name'])
        if said is not None:
            assert [path for path in [layers['writable'], layers['init']] + layers['image'] if path] == said, item['name']
        compared += len(layers['image'])
    assert compared


def test_volumes(subject, facts):
    said = subject.volumes()
    assert {item['name'] for item in facts['volumes']} == set(said)
    names = {item['id']: item['name'] for item in facts['containers']}
    for item in facts['volumes']:
        expected = said[item['name']]
        assert (item['labels'], item['options']) == (expected.labels, expected.options), item['name']
        assert {names.get(user, user) for user in item['used_by']} == expected.used_by, item['name']


def test_size_of_the_writable_layer(subject, facts):
    for item in facts['containers']:
        pair = subject.size_pair(item['name'], item)
        if pair is not None:
            # containerd's is of the moment when it was asked: a running container may have filled a block more since
            assert abs(pair[0] - pair[1]) <= (0 if item['store'] == 'graphdriver' else 8192), item['name']
