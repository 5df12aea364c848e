"""What a process has in memory over time; Python 3 alone."""
import os
import statistics
import threading
import time


def usage_of(pid):
    """Peak memory in MB and CPU seconds of a process."""
    with open(f'/proc/{pid}/status') as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith('VmHWM'))
    with open(f'/proc/{pid}/stat') as stat:
        fields = stat.read().rsplit(') ', 1)[1].split()
    return peak / 1024, (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Memory(threading.Thread):
    """What a process has in memory, looked at at once and then every second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.started, self.seen = pid, time.monotonic(), []
        self.look()
        self.start()

    def look(self):
        with open(f'/proc/{self.pid}/status') as status:
            resident = next(int(line.split()[1]) for line in status if line.startswith('VmRSS'))
        self.seen.append((time.monotonic() - self.started, resident / 1024))

    def run(self):
        try:
            while True:
                time.sleep(1)
                self.look()
        except (OSError, StopIteration):
            pass  # it has ended

    def figures(self):
        """In MB; and how it grows in an hour, by the line that fits best what was seen after the first minute."""
        seen = [(when, mb) for when, mb in self.seen if when >= 60] or self.seen
        mean_when, mean_mb = (statistics.fmean(values) for values in zip(*seen))
        spread = sum((when - mean_when) ** 2 for when, _ in seen)
        slope = sum((when - mean_when) * (mb - mean_mb) for when, mb in seen) / spread * 3600 if spread else 0.0
        sizes = [mb for _, mb in seen]
        return {'min': min(sizes), 'median': statistics.median(sizes), 'max': max(sizes), 'per_hour': slope,
                'samples': [(round(when), round(mb, 2)) for when, mb in self.seen[::10]]}

    def told(self):
        """The mean of each tenth of the time, so that growth can be seen."""
        tenth = max(1, len(self.seen) // 10)
        means = [sum(mb for _, mb in part) / len(part) for part in
                 (self.seen[start:start + tenth] for start in range(0, len(self.seen), tenth))]
        figures = self.figures()
        return 'memory over time, MB: ' + ' '.join(f'{mean:.1f}' for mean in means) + (
            f"\nmemory after the first minute, MB: {figures['min']:.1f} to {figures['max']:.1f}, median {figures['median']:.1f}, "
            f"{figures['per_hour']:+.2f} in an hour" if len(self.seen) > 120 else '')
