/**
 * Which of Node's own tests pass on plain Node and not over our layer, and why: what is not here
 * and fails is a fault of ours.
 *
 * Called by result.ts.
 */
const LOADED = 'changes what tls is made of before it is loaded; the layer has loaded it';
const NOT_KNOWN = 'not known yet';

export const DEVIATIONS: Readonly<Record<string, string>> = {
  'sequential/test-net-listen-ipv6only.js':
    'who listens by IPv6 only refuses an IPv4 peer behind the handshake',
  'parallel/test-tls-clientcertengine-unsupported.js': LOADED,
  'parallel/test-tls-keyengine-unsupported.js': LOADED,
  'parallel/test-http-parser-timeout-reset.js': "gives a handle to http's parser by hand",
  'parallel/test-http-pause-no-dump.js': NOT_KNOWN,
  'parallel/test-http-pipeline-requests-connection-leak.js': NOT_KNOWN,
  'sequential/test-http-regr-gh-2928.js': NOT_KNOWN,
  'parallel/test-http2-misbehaving-flow-control.js':
    'frames of one piece are told one at a time: each finds the window open again',
  'parallel/test-http2-session-destroy-during-receive.js':
    'frames of one TLS record are told without ticks between',
};
