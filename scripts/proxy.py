"""A TCP proxy between the bridge and RabbitMQ whose connections can be reset, stalled or cut one way; Python 3 alone.

It also sees what a fault did: when a connection began and ended, what was swallowed, and some of the broker's words.
"""
import re
import socket
import struct
import threading
import time

UP, DOWN = 'client to server', 'server to client'

# Method frames of the broker: type 1, channel, size, class, method. The first two are of the connection, channel 0.
WORDS = {
    'blocked': re.compile(rb'\x01\0\0.{4}\0\x0a\0\x3c', re.DOTALL),
    'unblocked': re.compile(rb'\x01\0\0\0\0\0\x04\0\x0a\0\x3d', re.DOTALL),
    'nack': re.compile(rb'\x01..\0\0\0\x0d\0\x3c\0\x78', re.DOTALL),
    'cancel': re.compile(rb'\x01.{6}\0\x3c\0\x1e', re.DOTALL),
}
LONGEST = 11  # bytes of a frame that are looked at
NAME = re.compile(rb'connection_nameS(.{4})', re.DOTALL)


class Pair:
    """One connection through the proxy."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.name = ''  # as the client calls its connection
        self.opened, self.ended = time.monotonic(), None
        self.left = None  # when the broker gave it up, whether the client hears of it or not
        self.swallowed = 0  # bytes
        self.said = {}  # what the broker said: how often, and when last
        self.passing = {UP, DOWN}
        self.to_reset = False
        self.cut = set()  # the ways in which nothing passes any more
        for way, source, sink in ((UP, client, server), (DOWN, server, client)):
            threading.Thread(target=self._pass, args=(way, source, sink), daemon=True).start()

    def is_of(self, direction):
        """Whether this direction uses it."""
        return direction.replace('-', '_') in self.name

    def _pass(self, way, source, sink):
        look = self._look_for_name if way == UP else self._look_for_words
        before = b''
        try:
            while data := source.recv(65536):
                if way in self.cut:
                    self.swallowed += len(data)
                    continue
                sink.sendall(data)
                before = look(before, data)
        except OSError:
            pass
        # Who hears nothing does not hear that it is over either.
        unheard = way in self.cut and not self.to_reset
        if way == UP or not unheard:
            self.ended = self.ended or time.monotonic()
        if way == DOWN:
            self.left = time.monotonic()
        if self.to_reset:
            source.close()
        elif not unheard:
            for end in (sink, source):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.passing.discard(way)
        if not self.passing:
            self.client.close()
            self.server.close()

    def _look_for_name(self, before, data):
        # The client gives its name in what it says second.
        if self.name or len(before) > 8192:
            return before
        before += data
        if found := NAME.search(before):
            self.name = before[found.end():found.end() + struct.unpack('>I', found[1])[0]].decode(errors='replace')
        return before

    def _look_for_words(self, before, data):
        # A frame may come in two pieces, and a whole one must not be found twice.
        joined = before + data
        for word, pattern in WORDS.items():
            for found in pattern.finditer(joined):
                if found.end() > len(before):
                    self.said[word] = (self.said.get(word, (0,))[0] + 1, time.monotonic())
        return joined[-(LONGEST - 1):]

    def last(self, word):
        """When the broker said this last, if it did."""
        return self.said.get(word, (0, None))[1]

    def reset(self):
        # Closing with a linger time of zero sends RST. Each reader closes its own end, as a socket that is being read stays open.
        self.to_reset = True
        for end in (self.client, self.server):
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                end.shutdown(socket.SHUT_RD)
            except OSError:
                pass


class Proxy:
    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.pairs = []  # all there were
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(('127.0.0.1', self.target))
            except OSError:
                client.close()
                continue
            self.pairs.append(Pair(client, server))

    def open(self):
        """The whole connections there are."""
        return [pair for pair in self.pairs if pair.ended is None and not pair.cut]

    def since(self, when):
        """The connections that were made since then and have logged in."""
        return [pair for pair in self.pairs if pair.opened >= when and pair.name]
