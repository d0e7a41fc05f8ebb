// Nodemailer: a mail of megabytes by STARTTLS, a pool of connections.
import assert from 'node:assert/strict';
import nodemailer from 'nodemailer';
import { BODY, failure, REFUSED, times } from '../checks.mjs';

export async function ask(host) {
  const tls = { ca: process.env.CERTIFICATE, servername: 'localhost' };
  const options = { host, port: 3015, requireTLS: true, tls };
  const mail = { from: 'us@example.org', to: 'you@example.org', subject: 'bytes' };
  const transport = nodemailer.createTransport(options);
  const attachments = [{ filename: 'bytes', content: BODY }];
  const { response } = await transport.sendMail({ ...mail, attachments });
  const [, taken] = /took (\d+)/.exec(response);
  assert.equal(Number(taken) > (BODY.length * 4) / 3, true, 'all of it, in base64');
  const pool = nodemailer.createTransport({ ...options, pool: true, maxConnections: 5 });
  await Promise.all(times(20, (i) => pool.sendMail({ ...mail, text: `${i}` })));
  pool.close();
  const refused = nodemailer.createTransport({ host, port: REFUSED });
  assert.match((await failure(refused.sendMail(mail))).code, /^(ECONNREFUSED|ESOCKET)$/);
}
