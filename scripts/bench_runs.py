"""How scripts/bench measures: each function makes one run and returns its figures."""
import json
import os
import statistics
import subprocess
import time

from bench_candidates import peers, peers_now
from processes import Failed, Program, bridge

TICKS = os.sysconf('SC_CLK_TCK')
LEGACY = ['--to', 'legacy', '--bare']


def cpu_of(pid):
    """User and system seconds so far."""
    with open(f'/proc/{pid}/stat') as stat:
        fields = stat.read().rsplit(') ', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_of(pid):
    """The most memory so far, in MiB."""
    with open(f'/proc/{pid}/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) / 1024


class Cost:
    """What a candidate, the broker and what measures them have used up since an earlier moment."""

    def __init__(self, program, receiver):
        self.pids = {'broker': int(os.environ['BROKER_PID']), 'load': receiver.process.pid}
        if program:
            self.pids['candidate'] = program.process.pid
            self.early_peak = peak_of(program.process.pid)
        self.before = {who: cpu_of(pid) for who, pid in self.pids.items()}

    def since(self):
        """CPU seconds, and MiB."""
        cost = {f'cpu_{who}': cpu_of(pid) - self.before[who] for who, pid in self.pids.items()}
        cost.setdefault('cpu_candidate', 0.0)
        cost['cpu_both'] = cost['cpu_candidate'] + cost['cpu_broker']
        if 'candidate' in self.pids:
            cost |= {'early_peak_mib': self.early_peak, 'peak_mib': peak_of(self.pids['candidate'])}
        return cost


def result_of(receiver, program):
    """The receiver's result and what it cost from the tenth part to the last event; CPU seconds per 100,000 events."""
    receiver.wait_for('stdout', lambda lines: 'tenth' in lines, 300, 'no events')
    cost = Cost(program, receiver)
    receiver.wait_for('stdout', lambda lines: 'all' in lines or lines[-1].startswith('{'), 900, 'no result')
    used = cost.since()
    result = receiver.wait_for('stdout', lambda lines: lines[-1].startswith('{') and json.loads(lines[-1]), 60, 'no result')
    per = 100_000 / max(1, result['counted'])
    return result | {key: value * per if key.startswith('cpu') else value for key, value in used.items()}


def options(candidate, count):
    return ['--direction', candidate.direction, '--count', count, *([] if candidate.translates else ['--untranslated'])]


def watched(candidate, receiver, program):
    """The result, or what the candidate had to say when there is none."""
    try:
        return result_of(receiver, program)
    except Failed as problem:
        last_words = program.lines['stderr'][-10:] if program else []
        raise Failed('\n'.join([f'{candidate.name}: {problem}', *last_words])) from None


def backlog(candidate, count):
    """All events wait in the intake queue when the candidate starts."""
    candidate.prepare()
    peers_now('fill', *options(candidate, count))
    with Program('sink', peers('sink', *options(candidate, count))) as receiver:
        receiver.wait_for('stdout', lambda lines: 'listening' in lines, 30, 'does not listen')
        with candidate.start() as program:
            return watched(candidate, receiver, program)


def live(candidate, count, rate=None):
    """Events are published while the candidate runs, at a rate, or as fast as they are confirmed."""
    candidate.prepare()
    pace = ['--rate', rate] if rate else []
    with candidate.start() as program, Program('load', peers('live', *options(candidate, count), *pace)) as receiver:
        return watched(candidate, receiver, program)


def saturated(candidate, count):
    count = max(1000, int(count * candidate.share))
    return live(candidate, count) if candidate.binds else backlog(candidate, count)


def starts():
    """Milliseconds until the bridge is ready: on a broker that has nothing yet, and where all is there. Defaults, so quorum queues."""
    peers_now('prepare', '--direction', 'to-legacy')
    took = {}
    for when in ('start, nothing there', 'start, all there'):
        began = time.monotonic()
        with bridge(os.environ['CTI_BRIDGE']) as program:
            took[when] = {'ready_ms': (time.monotonic() - began) * 1000}
            program.stop()
    return took


def lines(directory, count):
    """A file of so many modern events."""
    path = os.path.join(directory, 'events.jsonl')
    with open(path, 'wb') as file:
        subprocess.run(peers('lines', '--direction', 'to-legacy', '--count', count), check=True, stdout=file)
    return path


def translators():
    return {'bridge translate': [os.environ['CTI_BRIDGE'], 'translate', *LEGACY], 'jq': ['jq', '-a', '-c', '{name, data}']}


def offline(path, count):
    """The same translation of a file, by `cti-bridge translate` and by jq."""
    result = {}
    for name, command in translators().items():
        began = time.monotonic()
        process = subprocess.Popen([*command, path], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f'{name} ended with exit code {process.returncode}')
        result[name] = {'rate': count / seconds, 'cpu_candidate': (used.ru_utime + used.ru_stime) * 100_000 / count,
                        'first_line_ms': first_line(command, path)}
    return result


def first_line(command, path):
    """Milliseconds from the start to the first line, where the input does not end with it; the median of five."""
    took = []
    with open(path, 'rb') as file:
        event = file.readline()
    for _ in range(5):
        began = time.monotonic()
        # jq keeps lines back unless it is told.
        at_once = ['--unbuffered'] if command[0] == 'jq' else []
        with subprocess.Popen([*command, *at_once], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(event)
            process.stdin.flush()
            process.stdout.readline()
            took.append((time.monotonic() - began) * 1000)
            process.stdin.close()
    return statistics.median(took)


def check_the_same(path):
    """That both say the same of the first thousand lines."""
    with open(path, 'rb') as file:
        head = b''.join(file.readline() for _ in range(1000))
    said = [subprocess.run(command, input=head, stdout=subprocess.PIPE, check=True).stdout.splitlines() for command in translators().values()]
    ours, theirs = ([json.loads(line) for line in one] for one in said)
    if ours != theirs or len(ours) != 1000:
        raise Failed('cti-bridge translate and jq do not say the same')
