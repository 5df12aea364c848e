"""Programs that the demo and the load test start, watch and stop; Python 3 alone."""
import os
import subprocess
import threading
import time

ORIGIN_UUID = 'ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3'


class Failed(Exception):
    """What was waited for did not come."""


class Program:
    """A child process whose output lines are kept; used with `with`, it is stopped at the end, whatever happens."""

    def __init__(self, name, command, environment=None):
        self.name = name
        self.lines = {'stdout': [], 'stderr': []}
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, 'PYTHONDONTWRITEBYTECODE': '1', **(environment or {})},
            encoding='utf-8', errors='replace')
        self._readers = []
        for name in ('stdout', 'stderr'):
            reader = threading.Thread(target=self._read, args=(name,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, name):
        for line in getattr(self.process, name):
            with self._changed:
                self.lines[name].append(line.rstrip('\n'))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def say(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()

    def wait_for(self, stream, condition, seconds, what):
        """What `condition` makes of the lines of a stream, as soon as that is something."""
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                found = condition(self.lines[stream])
                if found:
                    return found
                left = end - time.monotonic()
                ended = self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers)
                if left <= 0 or ended:
                    reason = f'it ended with exit code {self.process.returncode}' if ended else f'not within {seconds:g} s'
                    raise Failed(f'{self.name}: {what}: {reason}')
                self._changed.wait(min(left, 0.2))

    def stop(self, seconds=15):
        """Asks it to end, and its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(5)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def bridge(binary, options=()):
    """The bridge, when it is ready."""
    program = Program('cti-bridge', [binary, 'run', '--origin-uuid', ORIGIN_UUID, '--log-format', 'text', *options])
    try:
        program.wait_for('stderr', lambda lines: any(' ready ' in f'{line} ' for line in lines), 30, 'did not get ready')
    except BaseException as problem:
        program.stop()
        if isinstance(problem, Failed):
            raise Failed('\n'.join([str(problem), *program.lines['stderr'][-15:]])) from None
        raise
    return program


def wait_for_binding(exchange, key, count=1, seconds=15):
    """Until the broker has `count` bindings of this exchange with this key: some clients don't say that they are ready."""
    end = time.monotonic() + seconds
    while True:
        listed = subprocess.run(['rabbitmqctl', '--quiet', '--no-table-headers', 'list_bindings', 'source_name', 'routing_key'],
                                check=True, capture_output=True, encoding='utf-8').stdout
        found = sum(line.split('\t') == [exchange, key] for line in listed.splitlines())
        if found >= count:
            return
        if time.monotonic() > end:
            raise Failed(f'{found} of {count} bindings of {exchange} with key {key} after {seconds} s')
