/**
 * The limit: a bare AF_XDP reflector on the same link, its frames per second. No stack, no
 * application.
 *
 * - peers/reflector.ts on the server's core, peers/frame-generator.ts on the client's.
 * - XDP in generic mode, as ours on this link (native: 680,000 to 700,000, generic: 655,000 to
 *   709,000 frames a second).
 * - `WINDOW` frames in flight: 512 are no faster, and overrun the link's ring now and then.
 */
import { UserError } from '../../src/errors.ts';
import { peerSource } from './compile.ts';
import { CLIENT_LINK, SERVER_LINK } from './network.ts';
import { startPinned } from './process.ts';

const WINDOW = 64;
/** Time that the reflector needs to attach before the first frame. */
const START_MS = 600;

export interface LimitResult {
  framesPerSecond: number;
}

export interface LimitPlan {
  seconds: number;
  /** Bytes of a frame. */
  bytes: number;
  serverCpu: number;
  clientCpu: number;
}

export async function measureLimit(plan: LimitPlan): Promise<LimitResult> {
  const node = process.execPath;
  const reflector = startPinned(plan.serverCpu, [
    node,
    peerSource('reflector.ts'),
    SERVER_LINK,
    '--generic',
  ]);
  try {
    await new Promise((resolve) => setTimeout(resolve, START_MS));
    const generator = startPinned(plan.clientCpu, [
      ...[node, peerSource('frame-generator.ts'), CLIENT_LINK, String(WINDOW)],
      ...['--generic', String(plan.seconds), '--bytes', String(plan.bytes)],
    ]);
    const { exitCode, output, errors } = await generator.ended;
    if (exitCode !== 0) {
      const reason = errors.trim().split('\n').at(-1);
      throw new UserError('IX_LIMIT', `the frame generator failed (${reason})`, '');
    }
    return { framesPerSecond: (JSON.parse(output) as { rate: number }).rate };
  } finally {
    await reflector.stop();
  }
}
