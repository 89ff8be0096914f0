"""The files that version 1.0.0 made from Docker's records, byte by byte, through the neutral definition.

data/made.json.gz holds pairs of config.v2.json and hostconfig.json, one for each option of docker create as dockerd records it
(`exact`), and damaged or made-up ones, each with what 1.0.0 made of it.
"""
import gzip
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.records import definition as definitions, model
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import asks, compose, files
from ansible_collections.lifeboat.docker.tests.unit.recreate.recorded import define_recorded

with gzip.open(os.path.join(os.path.dirname(__file__), 'data', 'made.json.gz')) as packed:
    CASES = json.loads(packed.read().decode())


def definition(case):
    options = dict((key, value) for key, value in case['options'].items() if key != 'env_path')
    options['mounts'] = [model.Mount(**mount) for mount in options.get('mounts') or ()]
    return define_recorded(case['config'], case['hostconfig'], case['image'], case['pinned'], **options)


def made(found, folder):
    text = files.files(found)
    text['asks'] = asks.listed(asks.asks(found))
    text['compose.yaml'] = compose.compose([found], folders=[folder])
    text['host'] = compose.whole_host([found], 'dead', [folder])
    return text


def without_empty(value):
    if isinstance(value, dict):
        return {key: without_empty(item) for key, item in value.items() if without_empty(item) not in (None, '', 0, [], {}, False)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize('case', CASES, ids=[case['name'] for case in CASES])
def test_the_same_files(case):
    found = definition(case)
    now = made(found, case['options'].get('env_path', '.'))
    now.pop('definition.json')
    before = case['files']
    if not case['exact']:
        # an engine records every key of an object, made-up records do not
        now['create.json'], before['create.json'] = (without_empty(json.loads(text['create.json'])) for text in (now, before))
    assert now == before


@pytest.mark.parametrize('case', CASES, ids=[case['name'] for case in CASES])
def test_there_and_back_as_json(case):
    found = definition(case)
    again = definitions.from_json(json.loads(json.dumps(definitions.to_json(found))))
    assert definitions.from_json(definitions.to_json(again)) == again
    if case['exact']:                   # others hold half surrogate pairs, which no JSON has
        assert again == found
