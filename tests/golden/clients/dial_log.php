#!/usr/bin/php
<?php
// Writes each call into the site's own database. php-amqplib, as it was written in 2014.
require_once __DIR__ . '/vendor/autoload.php';
use PhpAmqpLib\Connection\AMQPConnection;
use PhpAmqpLib\Message\AMQPMessage;

define('EXCHANGE', 'xivo-cti');
$events = array('call_created', 'call_updated', 'call_ended');

$connection = new AMQPConnection('localhost', 5672, 'guest', 'guest');
$channel = $connection->channel();
$channel->exchange_declare(EXCHANGE, 'direct', false, true, false);
list($queue, ,) = $channel->queue_declare('', false, false, true);
foreach ($events as $event) {
    $channel->queue_bind($queue, EXCHANGE, $event);
}
$channel->queue_declare('dial-log');

$callback = function ($message) use ($channel) {
    $event = json_decode($message->body, true);
    if ($event['name'] == 'call_created') {
        save($event['data']['call_id'], $event['data']['user_uuid']);
    }
    $channel->basic_publish(new AMQPMessage($message->body), 'reports', sprintf('dial.%s', 'log'));
};

$channel->basic_consume($queue, '', false, true, false, false, $callback);
while (count($channel->callbacks)) {
    $channel->wait();
}
