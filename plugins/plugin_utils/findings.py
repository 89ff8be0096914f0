"""Rules over the facts of one host: what is at risk, what that means, and what to do.

A rule is data (roles/audit/defaults/main/rules.yml). Its query is JMESPath over `docker_layers`, to which
enrichment.enrich() has added what a query cannot join by itself. Each result is one finding; the texts of the rule are
filled from the result: ``{name}``, ``{usage.bytes|bytes}``, ``{path|sh}``.
"""
from __future__ import annotations

import datetime
import fnmatch
import json
import re
from typing import Any, NamedTuple, cast

from ansible_collections.lifeboat.docker.plugins.module_utils.recreate.shell import typed

from .enrichment import IGNORE_LABEL, as_dict, as_dicts, enrich, short
from .plaindata import plain
from .records import moment_of, one_line
from .sizes import human_bytes, parse_bytes

try:
    import jmespath
    import jmespath.exceptions
    import jmespath.functions
    JMESPATH_ERROR = None
except ImportError as exc:              # pragma: no cover
    jmespath = cast(Any, None)
    JMESPATH_ERROR = exc

SEVERITIES = ('critical', 'warning', 'info')
RULE_FAILED = 'RULE_FAILED'
# Keys of a rule; the first five are the contract's.
KEYS = ('code', 'severity', 'query', 'message', 'next_step', 'name', 'consequence', 'remedy', 'enabled', 'why')


class AuditError(Exception):
    """A rule or an ignore list is wrong. The message is one sentence."""


class Rule(NamedTuple):
    code: str
    name: str
    severity: str
    query: Any                          # compiled
    message: str
    next_step: str
    consequence: str
    remedy: str


# -- JMESPath --------------------------------------------------------------------------------------------------------

def _functions(now: datetime.datetime | None = None) -> Any:
    """The functions that queries may call; NOW is needed to call them."""
    class Functions(jmespath.functions.Functions):
        @jmespath.functions.signature({'types': ['string', 'null']})
        def _func_age_days(self, text: Any) -> float | None:
            moment = moment_of(text)
            return None if moment is None or now is None else (now - moment).total_seconds() / 86400

        @jmespath.functions.signature({'types': ['string', 'number', 'null']})
        def _func_bytes(self, text: Any) -> int | None:
            return parse_bytes(text)
    return Functions()


def _options(now: datetime.datetime) -> Any:
    return jmespath.Options(custom_functions=_functions(now))


def _wrong_call(node: Any, table: dict[str, Any]) -> str:
    """'' or which function in a parsed query is not in TABLE, or takes another number of values.

    JMESPath itself notices that only when it comes to the call, which may be on one host of many.
    """
    if isinstance(node, list):
        return next((wrong for wrong in (_wrong_call(one, table) for one in node) if wrong), '')
    if not isinstance(node, dict):
        return ''
    children = node.get('children') or []
    if node.get('type') == 'function_expression':
        known = table.get(node['value'])
        if known is None:
            return f'calls {node["value"]}(), which there is not; there are: {", ".join(sorted(table))}'
        signature = known['signature']
        more = bool(signature) and bool(signature[-1].get('variadic'))
        if len(children) < len(signature) or (len(children) > len(signature) and not more):
            return f'gives {node["value"]}() {len(children)} values, and it takes {len(signature)}{" or more" if more else ""}'
    return _wrong_call(children, table)


def compile_rules(rules: Any) -> list[Rule]:
    """Check and compile. A later rule of the same name (default: its code) changes the earlier one; `enabled: false`
    removes it. AuditError names the rule that is wrong."""
    if jmespath is None:
        raise AuditError('the rules of the audit need the Python package jmespath on the controller: pip install jmespath '
                         f'(in AWX, install it in the execution environment): {JMESPATH_ERROR}')
    if not isinstance(rules, list):
        raise AuditError('rules must be a list of dictionaries')
    merged: dict[str, dict[str, Any]] = {}
    for number, rule in enumerate(rules, 1):
        if not isinstance(rule, dict):
            raise AuditError(f'rule number {number} is not a dictionary')
        name = str(rule.get('name') or rule.get('code') or '')
        if not name:
            raise AuditError(f'rule number {number} has neither code nor name')
        unknown = sorted(set(rule) - set(KEYS))
        if unknown:
            raise AuditError(f'rule {name} has unknown keys: {", ".join(unknown)}; known are: {", ".join(KEYS)}')
        merged.setdefault(name, {}).update(rule)
    table = _functions().FUNCTION_TABLE
    return [_compile(name, rule, table) for name, rule in merged.items() if rule.get('enabled', True)]


def _compile(name: str, rule: dict[str, Any], table: dict[str, Any]) -> Rule:
    """TABLE: the functions that queries may call."""
    missing = [key for key in ('code', 'severity', 'query', 'message') if not rule.get(key)]
    if missing:
        raise AuditError(f'rule {name} lacks {", ".join(missing)}')
    if rule['severity'] not in SEVERITIES:
        raise AuditError(f'rule {name} has severity "{rule["severity"]}"; it must be one of {", ".join(SEVERITIES)}')
    if not re.match(r'[A-Z][A-Z0-9_]*\Z', rule['code']):
        raise AuditError(f'rule {name} has code "{rule["code"]}"; codes are capital letters, digits and underscores')
    if rule['code'] == RULE_FAILED:
        raise AuditError(f'rule {name} has code {RULE_FAILED}, which tells that a rule failed; choose another')
    try:
        query = jmespath.compile(rule['query'])
    except jmespath.exceptions.JMESPathError as exc:
        raise AuditError(f'the query of rule {name} is no JMESPath: {" ".join(str(exc).split())}') from exc
    wrong = _wrong_call(query.parsed, table)
    if wrong:
        raise AuditError(f'the query of rule {name} {wrong}')
    texts = {key: str(rule.get(key) or '').strip() for key in ('message', 'next_step', 'consequence', 'remedy')}
    for key, text in texts.items():
        for filters in re.findall(r'\{[A-Za-z_][A-Za-z0-9_.]*\|([^{}]*)\}', text):
            if filters not in FILTERS:
                raise AuditError(f'{key} of rule {name} uses the filter "{filters}"; known are: {", ".join(FILTERS)}')
    return Rule(rule['code'], name, rule['severity'], query, **texts)


# -- texts -------------------------------------------------------------------------------------------------------------

def _yaml(value: Any) -> str:
    text = str(value)
    if re.match(r'[A-Za-z_./][A-Za-z0-9_./-]*\Z', text) and text.lower() not in ('true', 'false', 'yes', 'no', 'on', 'off', 'null'):
        return text
    return json.dumps(text)


FILTERS = {
    'bytes': human_bytes,
    'sh': lambda value: typed(one_line(value) if isinstance(value, (dict, list)) else str(value)),
    'yaml': lambda value: _yaml(one_line(value)),
    'days': lambda value: f'{value:.0f} days' if isinstance(value, (int, float)) else '? days',
    'date': lambda value: one_line(str(value)[:10]),
    'places': lambda value: ', '.join(f'{one_line(item.get("path"))} ({human_bytes(item.get("bytes"))})' for item in as_dicts(value)[:3]),
    'problems': lambda value: ' '.join(one_line(item.get('message') or '') for item in as_dicts(value)[:2]) or 'nothing more is known.',
    'short': short,
    'list': lambda value: ', '.join(one_line(item) for item in value) if isinstance(value, list) else one_line(value),
}


def fill(text: str, result: dict[str, Any]) -> str:
    """TEXT with ``{field}`` and ``{field.of.field|filter}`` taken from RESULT; a missing field becomes '?'."""
    def value(found: re.Match[str]) -> str:
        item: Any = result
        for part in found.group(1).split('.'):
            item = item.get(part) if isinstance(item, dict) else None
        if item is None:
            return '?'
        return FILTERS[found.group(2)](item) if found.group(2) else one_line(item)
    return re.sub(r'\{([A-Za-z_][A-Za-z0-9_.]*)(?:\|([a-z]+))?\}', value, text)


# -- findings ----------------------------------------------------------------------------------------------------------

class Ignore(NamedTuple):
    """One entry of the inventory's list."""
    code: str
    host: str
    object: str
    reason: str
    until: datetime.date


def compile_ignores(entries: Any) -> list[Ignore]:
    """`code`, `reason` and `until` (a date) are required; `host` and `object` are globs, default `*`."""
    found = []
    for number, entry in enumerate(entries or (), 1):
        if not isinstance(entry, dict):
            raise AuditError(f'entry {number} of the ignore list is not a dictionary')
        code = str(entry.get('code') or '')
        missing = [key for key in ('code', 'reason', 'until') if not entry.get(key)]
        if missing:
            raise AuditError(f'entry {number} of the ignore list ({code or "no code"}) lacks {", ".join(missing)}: '
                             'whatever is ignored needs a reason and a last day')
        moment = moment_of(str(entry['until']))
        if moment is None:
            raise AuditError(f'entry {number} of the ignore list ({code}): until "{entry["until"]}" is not a date like 2027-01-31')
        found.append(Ignore(code, str(entry.get('host') or '*'), str(entry.get('object') or '*'), str(entry['reason']), moment.date()))
    return found


def findings(facts: Any, rules: Any, ignore: Any = None, host: str = '', now: datetime.datetime | None = None) -> list[dict[str, Any]]:
    """Findings of one host, worst first; suppressed ones carry `suppressed` and come last. A rule that fails on the facts is one, too.

    Each has `code`, `severity`, `object`, `object_type`, `message`, `consequence`, `remedy`, `next_step`, `bytes`, `engine`, `volume`,
    `rule`.
    AuditError for a rule or list that is wrong.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    compiled = compile_rules(plain(rules))
    ignores = compile_ignores(plain(ignore))
    return evaluate(enrich(facts), compiled, ignores, host, now)


def evaluate(enriched: dict[str, Any], rules: list[Rule], ignores: list[Ignore], host: str, now: datetime.datetime) -> list[dict[str, Any]]:
    """As :func:`findings`. A rule that fails on these facts is a finding RULE_FAILED itself; the others go on."""
    options = _options(now)
    found = []
    seen = set()
    for rule in rules:
        try:
            pairs = _apply(rule, enriched, options, host)
        except Exception as exc:        # whatever a user's expression meets on a disk: no other rule may suffer  # pylint: disable=broad-except
            pairs = [(_failed(rule, exc, host), None)]
        for finding, result in pairs:
            key = (finding['code'], finding['object'], finding['message'])
            if key in seen:
                continue
            seen.add(key)
            suppressed = _suppressed(finding, result, ignores, host, now)
            if suppressed:
                finding['suppressed'] = suppressed
            found.append(finding)
    return sorted(found, key=lambda one: ('suppressed' in one, SEVERITIES.index(one['severity']), -(one['bytes'] or 0), one['code'],
                                          str(one['object'])))


def _apply(rule: Rule, enriched: dict[str, Any], options: Any, host: str) -> list[tuple[dict[str, Any], Any]]:
    """(finding, result it was made of) of one rule."""
    results = rule.query.search(enriched, options=options)
    pairs = []
    for result in results if isinstance(results, list) else [results]:
        if result is not None and result is not False:
            pairs.append((_finding(rule, result if isinstance(result, dict) else {'value': result, 'object': str(result)}, host), result))
    return pairs


def _failed(rule: Rule, exc: Exception, host: str) -> dict[str, Any]:
    """The finding RULE_FAILED. Critical, since what the rule looks for may be there unseen.

    Of a type error only the types are told: JMESPath's own message repeats the value, which may be a label's.
    """
    if isinstance(exc, jmespath.exceptions.JMESPathTypeError):
        expected = exc.expected_types if isinstance(exc.expected_types, (list, tuple)) else [exc.expected_types]
        why = f'{exc.function_name}() got {exc.actual_type} where it takes {" or ".join(map(str, expected))}'
    else:
        why = {'RecursionError': 'it is nested too deeply'}.get(type(exc).__name__, type(exc).__name__)
    where = host or 'this host'
    return {
        'code': RULE_FAILED, 'rule': rule.name, 'severity': 'critical', 'object': where, 'object_type': 'host', 'bytes': None, 'engine': None,
        'volume': None, 'message': one_line(f'Rule {rule.name} failed on the facts of {where}: {why}.'),
        'consequence': f'What this rule looks for ({rule.code}) is not in the report of {one_line(where)}.', 'remedy': '',
        'next_step': 'Change its query so that it bears such values: a filter before the function, or not_null(value, `0`). The other rules were applied.',
    }


def _word(value: Any) -> str:
    return value if isinstance(value, str) else one_line(value)


def _finding(rule: Rule, result: dict[str, Any], host: str) -> dict[str, Any]:
    size = result.get('bytes')
    if size is None:
        size = as_dict(result.get('usage')).get('bytes')
    if size is None:
        size = as_dict(result.get('log')).get('bytes') if rule.code.startswith('LOG_') else None
    whole = dict(result, host=host)
    return {
        'code': rule.code, 'rule': rule.name, 'severity': rule.severity, 'object': _word(result.get('object') or host or ''),
        'object_type': _word(result.get('object_type') or 'host'), 'bytes': size if isinstance(size, (int, float)) else None,
        'engine': result.get('engine'), 'volume': result.get('volume'), 'message': fill(rule.message, whole), 'consequence': fill(rule.consequence, whole),
        'remedy': fill(rule.remedy, whole), 'next_step': fill(rule.next_step, whole),
    }


def _suppressed(finding: dict[str, Any], result: Any, ignores: list[Ignore], host: str, now: datetime.datetime) -> dict[str, Any] | None:
    codes = result.get('ignore') if isinstance(result, dict) else None
    if codes and (finding['code'] in codes or 'ALL' in codes):
        return {'by': 'label', 'reason': f'label {IGNORE_LABEL}', 'until': None}
    for entry in ignores:
        if entry.until >= now.date() and entry.code in (finding['code'], '*') and fnmatch.fnmatchcase(host, entry.host) \
                and fnmatch.fnmatchcase(str(finding['object']), entry.object):
            return {'by': 'inventory', 'reason': entry.reason, 'until': entry.until.isoformat()}
    return None
