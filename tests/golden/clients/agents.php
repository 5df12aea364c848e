<?php
/* Shows agents on the wallboard. The PHP extension amqp. */
class Wallboard
{
    const EXCHANGE = 'xivo';
    private $keys = ['status.agent', 'status.queue'];
    private $queue;

    public function __construct($host = 'localhost')
    {
        $connection = new AMQPConnection(['host' => 'pbx.example.org', 'port' => 5672]);
        $connection->connect();
        $channel = new AMQPChannel($connection);

        $exchange = new AMQPExchange($channel);
        $exchange->setName(self::EXCHANGE);
        $exchange->setType(AMQP_EX_TYPE_TOPIC);
        $exchange->setFlags(AMQP_DURABLE);
        $exchange->declareExchange();

        $this->queue = new AMQPQueue($channel);
        $this->queue->setName('wallboard-' . gethostname());
        $this->queue->setFlags(AMQP_EXCLUSIVE | AMQP_AUTODELETE);
        $this->queue->declareQueue();
        foreach ($this->keys as $key) {
            $this->queue->bind(self::EXCHANGE, $key);
        }
        $exchange->publish('{"name": "wallboard_started"}', 'wallboard.started');
    }

    public function run()
    {
        $this->queue->consume(function (AMQPEnvelope $envelope, AMQPQueue $queue) {
            $event = json_decode($envelope->getBody());
            switch ($event->name) {
                case 'agent_status_update':
                    show($event->data->agent_id, $event->data->status);
                    break;
                case 'queue_member_added':
                    break;
            }
        }, AMQP_AUTOACK);
    }
}
