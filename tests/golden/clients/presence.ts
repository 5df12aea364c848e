// Mirrors presence into the door system. amqplib with promises, TypeScript.
import { connect, type Channel } from 'amqplib';

interface Presence { name: string; data: { uuid: string; status: string } }

const bus = { exchange: 'xivo', type: 'topic' as const };
const options = { durable: true, autoDelete: false };

export class Doors {
  private readonly keys: string[] = ['chatd.users.*.presences.updated', 'auth.sessions.#'];

  constructor(private readonly url: string) {}

  async run(): Promise<void> {
    const connection = await connect(this.url);
    const channel: Channel = await connection.createChannel();
    await channel.assertExchange(bus.exchange, bus.type, options);
    const { queue } = await channel.assertQueue('doors', { durable: false, ...{} });
    for (const key of this.keys) {
      await channel.bindQueue(queue, bus.exchange, key);
    }
    await channel.consume(queue, (message) => {
      const { name, data } = JSON.parse(message!.content.toString()) as Presence;
      if (name === 'chatd_presence_updated') {
        channel.publish(bus.exchange, `doors.${process.env.DOOR}.opened`, Buffer.from(data.uuid));
      }
    });
  }
}
