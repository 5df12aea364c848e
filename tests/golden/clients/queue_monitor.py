#!/usr/bin/env python
# -*- coding: utf-8 -*-
"""Keeps the supervisors' board up to date. Python 2, pika 0.9."""
import json

import pika

EXCHANGE = 'xivo' + '-cti'
EVENTS = ['queue_member_agent_joined', 'queue_member_agent_left']
ACTIONS = {'agent_paused': 'grey', 'agent_unpaused': 'green'}


class Monitor(object):
    AMI = 'xivo-ami'
    BINDINGS = [(AMI, 'QueueMemberPaused'), ('xivo-status-updates', 'status.user')]

    def __init__(self, host):
        self.queue = 'supervision-équipe'
        self.reports = 0
        self.connection = pika.BlockingConnection(pika.ConnectionParameters(host=host))
        self.channel = self.connection.channel()

    def run(self):
        self.channel.exchange_declare(exchange=EXCHANGE, type='direct', durable=True)
        self.channel.exchange_declare(self.AMI, 'topic', passive=True)
        result = self.channel.queue_declare(self.queue, exclusive=True, auto_delete=1)
        queue = result.method.queue
        for key in EVENTS:
            self.channel.queue_bind(queue, EXCHANGE, key)
        for name, colour in ACTIONS.iteritems():
            self.channel.queue_bind(queue=queue, exchange=EXCHANGE, routing_key=name)
        for exchange, key in self.BINDINGS:
            self.channel.queue_bind(queue=queue, exchange=exchange, routing_key=key)
        self.channel.basic_consume(self.on_message, queue, no_ack=True)
        self.channel.start_consuming()

    def on_message(self, channel, method, properties, body):
        event = json.loads(body)
        data = event['data']
        if event['name'] in ('agent_paused', 'agent_unpaused') and data['agent_id'] != 7:
            print 'agent', data.get('agent_number'), event['data']['paused_reason']
        self.reports += 1
        self.channel.basic_publish(exchange='reports', routing_key='agent.%s' % self.reports, body=body)


Monitor('localhost').run()
