<?php
// Keeps a journal of calls: nothing is the matter with it.
require_once __DIR__ . '/vendor/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;

$connection = new AMQPStreamConnection('localhost', 5672, 'journal', getenv('JOURNAL_PASSWORD'));
$channel = $connection->channel();
$channel->queue_declare('journal', false, true, false, false);
$channel->queue_bind('journal', 'xivo', 'calls.call.*');
$channel->basic_consume('journal', '', false, false, false, false, function ($message) {
    echo $message->body, "\n";
    $message->ack();
});
while ($channel->is_consuming()) {
    $channel->wait();
}
