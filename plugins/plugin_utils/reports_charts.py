"""Numbers of the charts in the audit's page; report_page/charts.html draws them."""
from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple

from .records import moment_of, one_line
from .sizes import human_bytes

BARS = 10
TILES = 32
LETTER = 7                              # width of a letter in a map, and
MARGIN = 14                             # what a line of text needs besides


class Bar(NamedTuple):
    """SHOW: what a click searches for; None: a sum that has no row of its own, and no bar. WIDTH: percent."""
    name: str
    size: str
    width: str
    show: str | None


class Chart(NamedTuple):
    title: str
    about: str
    bars: list[Bar]


class Tile(NamedTuple):
    """A place with data that no volume holds. TABLE: the one that has its row."""
    name: str
    host: str
    bytes: int
    database: bool
    table: str


class Box(NamedTuple):
    """A tile where it lies in the map, and the lines of text that fit into it."""
    tile: Tile
    x: float
    y: float
    width: float
    height: float
    lines: list[str]


class Map(NamedTuple):
    kind: str
    width: int
    height: int
    boxes: list[Box]


class Line(NamedTuple):
    """Points of a trend (``x,y x,y``) in an area of 100 to 40, zero at its bottom."""
    title: str
    points: str
    first: str
    last: str
    highest: str
    begin: str
    end: str


def bars(report: dict[str, Any]) -> list[Chart]:
    """Bytes that no volume holds, by host and by kind of data."""
    return [_chart('By host', _by_host(report)), _chart('By kind of data', _by_kind(report))]


def _by_host(report: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    hosts = [record for record in report['hosts'] if record.get('totals') and record['totals']['at_risk_bytes']]
    hosts.sort(key=lambda record: (-record['totals']['at_risk_bytes'], str(record['host'])))
    found: list[tuple[str, int, str | None]] = [
        (record['host'], record['totals']['at_risk_bytes'], 'host:' + str(record['host'])) for record in hosts[:BARS]]
    rest = sum(record['totals']['at_risk_bytes'] for record in hosts[BARS:])
    return found + ([(f'{len(hosts) - BARS:,} other hosts', rest, None)] if rest else [])


def _by_kind(report: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    engines = [entry for key, entry in report['engines'].items() if entry['at_risk_bytes'] and key != 'other']
    found: list[tuple[str, int, str | None]] = [
        (f'{entry["title"]} ({entry["at_risk"]:,})' if entry['at_risk'] else entry['title'], entry['at_risk_bytes'], entry['title'])
        for entry in engines[:BARS]]
    rest = sum(entry['at_risk_bytes'] for entry in engines[BARS:])
    if rest:
        found.append((f'{len(engines) - BARS} other engines', rest, None))
    other = report['engines'].get('other', {}).get('at_risk_bytes')
    return found + ([('no database: other files', other, None)] if other else [])


def _chart(title: str, items: list[tuple[str, int, str | None]]) -> Chart:
    most = max((size for dummy, size, show in items if show), default=1)
    return Chart(title, 'bytes held by no volume', [
        Bar(name, human_bytes(size), f'{max(size / most * 100, 0.6):.1f}', show) for name, size, show in items])


def maps(report: dict[str, Any]) -> list[Map]:
    """The largest places as a treemap, for a wide and for a narrow page; [] where there are none."""
    tiles = _tiles(report)
    return [_map(tiles, kind, width, height) for kind, width, height in (('flat', 1000, 340), ('tall', 360, 440))] if tiles else []


def _tiles(report: dict[str, Any]) -> list[Tile]:
    found = []
    for record in report['hosts']:
        for table, row in [('containers', row) for row in record['containers']] + [('volumes', row) for row in record['volumes'] + record['layers']]:
            if row['at_risk_bytes']:
                name = str(row.get('name') or row.get('path'))
                database = any(one['kind'] == 'database' and one['where'] in ('writable', 'volume') for one in row['databases'])
                found.append(Tile(name[:12] if re.match(r'[0-9a-f]{64}\Z', name) else name, str(record['host']), row['at_risk_bytes'], database, table))
    found.sort(key=lambda one: (-one.bytes, one.name, one.host))
    return found[:TILES]


def squarify(sizes: list[float], x: float, y: float, width: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles of SIZES (descending) that fill the area, as square as they get (Bruls, Huizing, van Wijk 2000)."""
    total = sum(sizes)
    if not sizes or total <= 0:
        return []
    scale = width * height / total
    areas = [size * scale for size in sizes]
    placed = []
    at = 0
    while at < len(areas):
        side = min(width, height)
        row = [areas[at]]
        best = _worst(row, side)
        while at + len(row) < len(areas):
            wider = _worst(row + [areas[at + len(row)]], side)
            if wider > best:
                break
            row.append(areas[at + len(row)])
            best = wider
        thick = sum(row) / side if side else 0
        offset = 0.0
        for area in row:
            long = area / thick if thick else 0
            placed.append((x, y + offset, thick, long) if width >= height else (x + offset, y, long, thick))
            offset += long
        if width >= height:
            x, width = x + thick, max(width - thick, 0)
        else:
            y, height = y + thick, max(height - thick, 0)
        at += len(row)
    return placed


def _worst(row: list[float], side: float) -> float:
    total = sum(row)
    if not total or not side:
        return float('inf')
    return max(side * side * max(row) / total ** 2, total ** 2 / (side * side * min(row)) if min(row) else float('inf'))


def _map(tiles: list[Tile], kind: str, width: int, height: int) -> Map:
    places = squarify([float(tile.bytes) for tile in tiles], 0, 0, width, height)
    return Map(kind, width, height, [Box(tile, *place, _text(tile, place[2], place[3])) for tile, place in zip(tiles, places)])


def _text(tile: Tile, width: float, height: float) -> list[str]:
    """What of name, size and host fits."""
    letters = int((width - MARGIN) / LETTER)
    if letters < 5 or height < 22:
        return []
    lines = [one_line(tile.name)] + ([human_bytes(tile.bytes)] if height >= 52 else []) + (
        [one_line(tile.host)] if height >= 70 and letters >= 8 else [])
    return [_short(line, letters) for line in lines]


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[:max(letters - 1, 1)] + '…'


def trend(report: dict[str, Any]) -> list[Line]:
    """Lines of the earlier reports and this one; [] where there is no earlier one."""
    if not report['trend']:
        return []
    totals = report['totals']
    points = report['trend'] + [{'generated': report['generated'], 'at_risk_bytes': totals['at_risk_bytes'], 'critical': totals['findings']['critical']}]
    return [_line(points, 'at_risk_bytes', 'Held by no volume', human_bytes), _line(points, 'critical', 'Critical findings', lambda value: f'{value:,}')]


def _line(points: list[dict[str, Any]], key: str, title: str, show: Callable[[Any], str]) -> Line:
    moments = [moment_of(point['generated']) for point in points]
    seconds = [moment.timestamp() if moment else 0.0 for moment in moments]
    span = (seconds[-1] - seconds[0]) or 1.0
    most = max(point[key] for point in points) or 1
    places = [((at - seconds[0]) / span * 100, 40 - point[key] / most * 38) for at, point in zip(seconds, points)]
    first, last, highest = (show(value) for value in (points[0][key], points[-1][key], max(point[key] for point in points)))
    return Line(title, ' '.join(f'{x:.2f},{y:.2f}' for x, y in places), first, last, highest,
                points[0]['generated'][:10], points[-1]['generated'][:10])
