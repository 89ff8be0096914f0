"""Every check that `make test` ran, as one test with the outcome that it had. See cases.close."""
import json
import os

import pytest

with open(os.environ['LIFEBOAT_CASES'], encoding='utf-8') as kept:
    CASES = json.load(kept)


@pytest.mark.parametrize('case', CASES, ids=['%s: %s' % (case['part'], case['name']) for case in CASES])
def test_case(case):
    if case['outcome'] == 'skipped':
        pytest.skip(case['text'])
    if case['outcome'] != 'passed':
        pytest.fail((case['text'] or 'failed').strip().splitlines()[0], pytrace=False)
