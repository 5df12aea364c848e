"""Runs legacy_2013.py, the documented client of 2013, against the broker of CTI_BRIDGE_AMQP_URL.

The program names host "localhost" and no port, so the library's default port is what this sets. The file is run
as it is on Python 2; on Python 3 its one print statement becomes a call, in memory. Works with pika before 1.0.
"""
import os
import re
import sys

import pika

from broker import address

pika.connection.Parameters.DEFAULT_PORT = address()['port']

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'legacy_2013.py')
with open(path) as program:
    source = program.read()
if sys.version_info[0] > 2:
    source = re.sub(r"print 'Received:', body", "print('Received:', body.decode('utf-8'), flush=True)", source)
exec(compile(source, path, 'exec'), {'__name__': '__main__', '__file__': path})
