"""A TCP proxy between the bridge and RabbitMQ whose connections can be reset, stalled or cut one way; Python 3 alone."""
import os
import socket
import struct
import threading
import time

UP, DOWN = 'client to server', 'server to client'


class Pair:
    """One connection through the proxy."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.to_reset = False
        self.cut = set()  # the ways in which nothing passes any more
        for way, source, sink in ((UP, client, server), (DOWN, server, client)):
            threading.Thread(target=self._pass, args=(way, source, sink), daemon=True).start()

    def _pass(self, way, source, sink):
        try:
            while data := source.recv(65536):
                if way not in self.cut:
                    sink.sendall(data)
        except OSError:
            pass
        if self.to_reset:
            source.close()
            return
        for end in (sink, source):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

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
        self.pairs = []
        self.opened = 0  # how many connections there were
        # A forked child would hold the sockets too, and closing them here would not reset anything.
        os.register_at_fork(after_in_child=self._leave)
        threading.Thread(target=self._accept, daemon=True).start()

    def _leave(self):
        self.listener.close()
        for pair in self.pairs:
            pair.client.close()
            pair.server.close()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(('127.0.0.1', self.target))
            except OSError:
                client.close()
                continue
            self.pairs.append(Pair(client, server))
            self.opened += 1

    def reset(self):
        for pair in self.pairs:
            pair.reset()
        self.pairs.clear()

    def cut(self, *ways):
        """Swallows, from now on, what goes these ways on the connections there are; later ones are whole."""
        for pair in self.pairs:
            pair.cut.update(ways)

    def wait_for_another(self, opened, seconds):
        end = time.monotonic() + seconds
        while self.opened <= opened and time.monotonic() < end:
            time.sleep(0.01)
        return self.opened > opened
