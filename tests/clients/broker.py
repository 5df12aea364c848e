"""Where the broker is, for the programs beside this file; Python 2.7 and 3."""
import os
import signal
import sys

try:
    from urllib.parse import unquote, urlparse
except ImportError:
    from urllib import unquote
    from urlparse import urlparse

GAVE_UP = 75


def url():
    try:
        return os.environ['CTI_BRIDGE_AMQP_URL']
    except KeyError:
        sys.exit('CTI_BRIDGE_AMQP_URL is not set; try scripts/with-broker')


def address():
    parts = urlparse(url())
    return {
        'host': parts.hostname,
        'port': parts.port or 5672,
        'username': unquote(parts.username or 'guest'),
        'password': unquote(parts.password or 'guest'),
        'vhost': unquote(parts.path[1:]) or '/',
    }


def give_up_after(seconds, code=GAVE_UP):
    """Ends the program with `code`, wherever it hangs: no pika has the same timers as another."""

    def give_up(_signal, _frame):
        if code:
            sys.stderr.write('gave up after %s seconds\n' % seconds)
        sys.stdout.flush()
        os._exit(code)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def receiver_arguments(parser):
    parser.add_argument('exchange')
    parser.add_argument('keys', nargs='+', metavar='key')
    parser.add_argument('--count', type=int, default=1, help='end after so many messages; 0: end with exit code 0 at the timeout')
    parser.add_argument('--timeout', type=float, default=30, help='seconds until giving up with exit code 75')
    parser.add_argument('--declare', metavar='TYPE', help='declare the exchange first, durable, as TYPE')
