"""The demo proper; scripts/demo prepares everything and starts it."""
import ast
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

from processes import ORIGIN_UUID, Failed, Program, bridge, wait_for_binding

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLIENTS = os.environ.get('CLIENTS_DIR', os.path.join(ROOT, '.cache', 'clients'))
PATIENCE = float(os.environ.get('DEMO_TIMEOUT', '15'))  # seconds to wait for anything

USER = '8e58d2a7-cfed-4c2e-ac72-14e0b5c26dc2'

# What the modern platform publishes, with the keys and examples of its documentation.
TO_LEGACY = [
    ('call_form_result', None,
     {'user_id': 40, 'variables': {'firstname': 'John', 'lastname': 'Doe'}}),
    ('calls.call.created', 'events.calls.2e752722-0864-4665-887d-a78a024cf7c7',
     {'call_id': '1455123422.8', 'caller_id_name': 'Some One', 'caller_id_number': '1001', 'status': 'Ring',
      'bridges': [], 'talking_to': {}, 'user_uuid': '2e752722-0864-4665-887d-a78a024cf7c7'}),
    ('config.users.a1223fe6-bff8-4fb6-a982-f9157dea5094.services.dnd.updated',
     'events.config.users.a1223fe6-bff8-4fb6-a982-f9157dea5094.services.dnd.updated',
     {'user_uuid': 'a1223fe6-bff8-4fb6-a982-f9157dea5094', 'enabled': True}),
    (f'directory.{USER}.favorite.created', f'events.directory.{USER}.favorite.created',
     {'xivo_uuid': ORIGIN_UUID, 'user_uuid': USER, 'source': 'internal', 'source_entry_id': 42}),
    ('config.user.created', None, {'id': 42, 'uuid': USER}),
    ('ami.QueueMemberStatus', None,
     {'Status': '1', 'Penalty': '0', 'CallsTaken': '0', 'Skills': '', 'MemberName': 'sip/m3ylhs', 'Queue': 'petak',
      'LastCall': '0', 'Membership': 'static', 'Location': 'sip/m3ylhs', 'Privilege': 'agent,all', 'Paused': '0',
      'StateInterface': 'sip/m4ylhs'}),
]
NAMES = ['call_form_result', 'call_created', 'users_services_dnd_updated', 'favorite_added', 'user_created', 'QueueMemberStatus']

# What a program of 2013 publishes, and what has to come of it.
TO_MODERN = [
    ('xivo-cti', 'call_form_result', {'user_id': 41, 'variables': {'firstname': 'Zoé', 'lastname': 'Doe'}},
     'call_form_result', None),
    ('xivo-cti', 'favorite_added', {'xivo_uuid': ORIGIN_UUID, 'user_uuid': USER, 'source': 'internal', 'source_entry_id': 43},
     f'directory.{USER}.favorite.created', f'events.directory.{USER}.favorite.created'),
    ('xivo-cti', 'user_created', {'id': 43, 'uuid': USER}, 'config.user.created', None),
    ('xivo-ami', 'QueueMemberStatus', {'Queue': 'petak', 'MemberName': 'sip/m3ylhs', 'Status': '2', 'Paused': '1'},
     'ami.QueueMemberStatus', None),
]

TERMINAL = sys.stdout.isatty()
COLOURS = TERMINAL and 'NO_COLOR' not in os.environ and os.environ.get('TERM') != 'dumb'
WIDTH = max(60, min(shutil.get_terminal_size((124, 24)).columns, 160))


def coloured(code, text):
    return f'\033[{code}m{text}\033[0m' if COLOURS else text


def bold(text):
    return coloured('1', text)


def dim(text):
    return coloured('2', text)


def side_by_side(left, right):
    """Two texts beside each other, long lines folded."""
    border = ' │ ' if TERMINAL else ' | '
    column = (WIDTH - 2 - len(border)) // 2

    def folded(text):
        lines = []
        for line in text.splitlines():
            indent = ' ' * (len(line) - len(line.lstrip()) + 4)
            lines += textwrap.wrap(line, column, subsequent_indent=indent, break_on_hyphens=False) or ['']
        return lines

    left, right = folded(left), folded(right)
    for number in range(max(len(left), len(right))):
        cell = left[number] if number < len(left) else ''
        other = right[number] if number < len(right) else ''
        print(('  ' + cell.ljust(column) + dim(border) + other).rstrip())


def pretty(body):
    """JSON over several lines, with short objects on one."""
    def lines(value, room):
        flat = json.dumps(value, ensure_ascii=False)
        if not isinstance(value, dict) or not value or len(flat) <= room:
            return flat
        inside = [f'  {json.dumps(key)}: ' + lines(item, room - 6 - len(key)).replace('\n', '\n  ') for key, item in value.items()]
        return '{\n' + ',\n'.join(inside) + '\n}'

    # The envelope itself always one key a line.
    return '{\n' + ',\n'.join(f'  "{key}": ' + lines(value, WIDTH // 2 - 16).replace('\n', '\n  ') for key, value in body.items()) + '\n}'


results = []


def judge(name, passed, problem=''):
    results.append((name, passed))
    sign = ('✓' if passed else '✗') if TERMINAL else ('ok  ' if passed else 'FAIL')
    print(coloured('32' if passed else '31', sign), bold(name) + (': ' + coloured('31', problem) if problem else ''))


def client(environment, program, *arguments, name=None, variables=None):
    return Program(name or program, [os.path.join(CLIENTS, environment, 'bin', 'python'), '-u',
                                     os.path.join(ROOT, 'tests', 'clients', program), *arguments], variables)


def library(environment, module):
    code = ('import sys, %s as m; sys.stdout.write("%s %%s on Python %%d.%%d" '
            '%% (m.__version__, sys.version_info[0], sys.version_info[1]))' % (module, module))
    return subprocess.run([os.path.join(CLIENTS, environment, 'bin', 'python'), '-c', code],
                          check=True, capture_output=True, encoding='utf-8').stdout


def received_json(program, name, seconds):
    """The first JSON line of a receiver whose body has that name, and the body."""
    def find(lines):
        for line in lines:
            message = json.loads(line)
            body = json.loads(message['body'])
            if body.get('name') == name:
                return message, body
        return None
    return program.wait_for('stdout', find, seconds, f'{name} did not arrive')


def received_text(program, parse, name, seconds):
    """The first body that a documented client printed, of that name."""
    def find(lines):
        bodies = (parse(line.removeprefix('Received: ')) for line in lines if line.startswith('Received: '))
        return next((body for body in bodies if body.get('name') == name), None)
    return program.wait_for('stdout', find, seconds, f'{name} did not arrive')


def to_legacy(old):
    print(bold('Modern to legacy') + ': a kombu program publishes on ' + bold('xivo') + ', old programs receive from '
          + bold('xivo-cti') + '\n')
    with contextlib.ExitStack() as running:
        documented = running.enter_context(client(old, 'run_legacy_2013.py', name='the client of 2013'))
        others = running.enter_context(client(old, 'receive_pika.py', '--count', '0', '--timeout', '600', 'xivo-cti', *NAMES[1:]))
        others.wait_for('stderr', lambda lines: 'bound' in lines, PATIENCE, 'bound')
        wait_for_binding('xivo-cti', 'call_form_result', count=2, seconds=PATIENCE)  # the bridge has one too
        sender = running.enter_context(client('kombu', 'send_kombu.py', '--timeout', '600'))

        for name, (key, acl, data) in zip(NAMES, TO_LEGACY):
            body = {'name': name, 'origin_uuid': ORIGIN_UUID, 'data': data}
            if acl:
                body = {'name': name, 'required_acl': acl, 'origin_uuid': ORIGIN_UUID, 'data': data}
            sender.say(json.dumps({'routing_key': key, 'body': body}))
            left = f'xivo, key {key}\n{pretty(body)}'
            try:
                if name == 'call_form_result':
                    got = received_text(documented, json.loads, name, PATIENCE)
                    where = 'xivo-cti, key call_form_result: the client of 2013'
                else:
                    message, got = received_json(others, name, PATIENCE)
                    where = f"xivo-cti, key {message['routing_key']}"
            except Failed as problem:
                judge(name, False, str(problem))
                side_by_side(left, '(nothing)')
            else:
                judge(name, got == {'name': name, 'data': data}, '' if got == {'name': name, 'data': data} else 'not as expected')
                side_by_side(left, f'{where}\n{pretty(got)}')
            print()
        return documented.lines['stdout'], others.lines['stdout']


def to_modern(old):
    print(bold('Legacy to modern') + ': an old pika program publishes on ' + bold('xivo-cti') + ' or ' + bold('xivo-ami')
          + ', the documented kombu client receives from ' + bold('xivo') + '\n')
    with contextlib.ExitStack() as running:
        documented = running.enter_context(client('kombu', 'modern_kombu.py', name='the documented kombu client'))
        # The documented client prints bodies only; this one shows the routing keys.
        keys = running.enter_context(client('kombu', 'receive_kombu.py', '--count', '0', '--timeout', '600', 'xivo', '#'))
        keys.wait_for('stderr', lambda lines: 'bound' in lines, PATIENCE, 'bound')
        wait_for_binding('xivo', '#', count=3, seconds=PATIENCE)  # these two and the bridge
        senders = {exchange: running.enter_context(client(old, 'send_pika.py', '--timeout', '600', '--exchange', exchange))
                   for exchange in ('xivo-cti', 'xivo-ami')}

        for exchange, name, data, expected_key, acl in TO_MODERN:
            body = {'name': name, 'data': data}
            senders[exchange].say(json.dumps(body))
            expected = {'name': name, 'origin_uuid': ORIGIN_UUID, 'data': data}
            if acl:
                expected['required_acl'] = acl
            left = f'{exchange}, key {name}\n{pretty(body)}'
            try:
                got = received_text(documented, ast.literal_eval, name, PATIENCE)
                message, _ = received_json(keys, name, PATIENCE)
            except Failed as problem:
                judge(name, False, str(problem))
                side_by_side(left, '(nothing)')
            else:
                passed = got == expected and message['routing_key'] == expected_key
                judge(name, passed, '' if passed else 'not as expected')
                side_by_side(left, f"xivo, key {message['routing_key']}\n{pretty(got)}")
            print()
        return documented.lines['stdout']


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(errors='replace')
    old = 'pika-2013' if os.path.exists(os.path.join(CLIENTS, 'pika-2013', '.ready')) else 'pika-old'
    log = []
    try:
        daemon = bridge(os.environ['CTI_BRIDGE'], ['--legacy-event', 'favorite_added,user_created,QueueMemberStatus'])
        log = daemon.lines['stderr']
        with daemon:
            print(f'\n  broker   private RabbitMQ on 127.0.0.1:{os.environ["BROKER_PORT"]}, gone afterwards')
            print(f'  old      {library(old, "pika")}, tests/clients/legacy_2013.py as documented in 2013')
            print(f'  modern   {library("kombu", "kombu")}, tests/clients/modern_kombu.py')
            print('  between  cti-bridge run\n')
            documented, others = to_legacy(old)
            arrived = to_modern(old)
            judge('no event came twice or went round in circles',
                  (len(documented), len(others), len(arrived)) == (1, len(NAMES) - 1, len(TO_MODERN)))
            stopped = daemon.stop()
            judge('the bridge stops when told to', stopped == 0, '' if stopped == 0 else f'exit code {stopped}')
    except Failed as problem:
        judge(str(problem), False)
    failed = [name for name, passed in results if not passed]
    print(f'\n{len(results) - len(failed)} passed, {len(failed)} failed')
    if failed and log:
        print('\nThe last lines of the bridge:\n' + '\n'.join(log[-15:]))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
