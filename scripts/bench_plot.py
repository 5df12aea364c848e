"""Draws the medians of scripts/bench as bars, each with a line from the least to the most, in SVG; Python 3 alone."""
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP = 720, 156, 14, 4
SATURATED = [('rate', 'events/s, saturated', ',.0f'), ('cpu_candidate', 'CPU seconds of it alone per 100,000 events', '.2f'),
             ('cpu_both', 'CPU seconds with the broker per 100,000 events', '.2f')]
DELAYS = [('p50_us', 'median delay in µs at', ',.0f'), ('p99_us', 'delay in µs that 99 of 100 keep at', ',.0f')]
OURS, OTHERS, TEXT = '#2f6f9f', '#a9b4bd', '#57606a'


def panel(figures, key, title, form, top):
    """The lines of one panel, and where the next one begins."""
    rows = [(name, of_name[key]) for name, of_name in figures.items() if of_name.get(key, {}).get('median')]
    most = max((figure['max'] for _, figure in rows), default=1)
    room = WIDTH - LEFT - 90
    lines = [f'<text x="{LEFT}" y="{top + 14}" font-weight="bold">{escape(title)}</text>']
    top += 22
    for name, figure in rows:
        ends = {which: LEFT + room * figure[which] / most for which in ('min', 'median', 'max')}
        middle = top + BAR / 2
        lines += [
            f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{ends["median"] - LEFT:.1f}" height="{BAR}" fill="{OURS if name.startswith("bridge") else OTHERS}"/>',
            f'<line x1="{ends["min"]:.1f}" x2="{ends["max"]:.1f}" y1="{middle}" y2="{middle}" stroke="{TEXT}"/>',
            f'<text x="{ends["max"] + 6:.1f}" y="{middle + 4}">{figure["median"]:{form}}</text>']
        top += BAR + GAP
    return lines, top + 14


def plot(made):
    panels = [('saturated', *rest) for rest in SATURATED if 'saturated' in made]
    panels += [(mode, key, f'{title} {mode}', form) for key, title, form in DELAYS for mode in made if mode.endswith(' events/s')]
    lines, top = [], 8
    for mode, key, title, form in panels:
        more, top = panel(made[mode]['figures'], key, title, form, top)
        lines += more
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
            f'font-family="sans-serif" font-size="12" fill="{TEXT}">')
    return '\n'.join([head, f'<rect width="{WIDTH}" height="{top}" fill="white"/>', *lines, '</svg>', ''])
