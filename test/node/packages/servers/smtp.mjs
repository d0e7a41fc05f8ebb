// smtp-server: takes mail, with STARTTLS, and says how much came by what it answers.
import { SMTPServer } from 'smtp-server';

const { KEY: key, CERTIFICATE: cert } = process.env;
const server = new SMTPServer({
  ...{ key, cert, disabledCommands: ['AUTH'], disableReverseLookup: true },
  async onData(stream, _session, done) {
    let length = 0;
    for await (const piece of stream) length += piece.length;
    done(null, `took ${length}`);
  },
});
server.listen(3015);
