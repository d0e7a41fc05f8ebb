// Aedes: an MQTT broker.
import net from 'node:net';
import { Aedes } from 'aedes';

const broker = await Aedes.createBroker();
net.createServer(broker.handle).listen(3014);
