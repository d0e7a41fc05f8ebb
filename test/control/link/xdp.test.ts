/** `--xdp`: what is asked for, and what is said of what came of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  attachModeFor,
  copyingOf,
  describeXdp,
  XDP_CHOICES,
  type XdpChoice,
  xdpStateOf,
} from '../../../src/control/link/xdp.ts';
import { parseRunOptions } from '../../../src/control/wish/options.ts';
import { OptionError } from '../../../src/errors.ts';
import { copyingFor } from '../../../src/nic/drivers.ts';
import { Attachment } from '../../../src/nic/privileged/attach.ts';

const OWN = true;
const OTHERS = false;

test('autoOnOurVeth_isGeneric', () => {
  const { mode, why = '' } = attachModeFor(OWN, 'auto');
  assert.equal(mode, 'generic');
  assert.match(why, /faster/);
});

test('autoOnAnInterface_triesNativeFirst', () => {
  assert.deepEqual(attachModeFor(OTHERS, 'auto'), {});
});

test('insisted_isThatModeOnAnyLink', () => {
  for (const link of [OWN, OTHERS]) {
    for (const xdp of ['native', 'native-copy', 'zerocopy'] as const) {
      assert.equal(attachModeFor(link, xdp).mode, 'native');
    }
    assert.equal(attachModeFor(link, 'generic').mode, 'generic');
  }
});

test('copying_isAskedForWhereZeroCopyIsNotKnownToTakeAFrame', () => {
  for (const driver of ['virtio_net', 'ice', 'i40e', 'mlx5_core']) {
    assert.deepEqual(copyingFor('native', driver), { wish: 'auto', why: '' });
  }
  for (const driver of ['igb', 'igc', 'ixgbe']) {
    const { wish, why } = copyingFor('native', driver);
    assert.equal(wish, 'copy');
    assert.match(why, new RegExp(`${driver} cuts frames above 1,024 bytes`));
  }
  for (const driver of ['somenic', '', 'veth']) {
    const { wish, why } = copyingFor('native', driver);
    assert.equal(wish, 'copy');
    assert.ok(why.length > 0);
  }
  assert.equal(copyingFor('generic', 'virtio_net').wish, 'copy');
});

test('zerocopyInsisted_knownToCut_isRefusedWithTheReason', () => {
  for (const driver of ['igb', 'igc', 'ixgbe']) {
    assert.throws(
      () => copyingOf('native', 'zerocopy', driver),
      (error) => {
        return error instanceof OptionError && /cuts frames.*native-copy/.test(error.message);
      },
    );
  }
  for (const driver of ['virtio_net', 'somenic', 'veth']) {
    assert.deepEqual(copyingOf('native', 'zerocopy', driver), { wish: 'zerocopy', why: '' });
  }
  assert.equal(copyingOf('native', 'native-copy', 'virtio_net').wish, 'copy');
});

const attachment = (mode: 'native' | 'generic', fallback: string): Attachment => {
  const found = { name: 'eth0', index: 1, mac: new Uint8Array(6), mtu: 1500, up: true };
  return new Attachment(found, mode, fallback, -1, -1);
};

test('state_saysModeCopyAndEveryReason', () => {
  const zero = { zeroCopy: true, why: '' };
  const copied = { zeroCopy: false, why: 'zero-copy refused: EINVAL' };
  const best = xdpStateOf(attachment('native', ''), [zero, zero]);
  assert.deepEqual(best, { mode: 'native', copy: 'zero-copy', why: '' });
  assert.equal(describeXdp(best), 'native XDP, zero-copy');
  const mixed = xdpStateOf(attachment('native', ''), [zero, copied]);
  assert.equal(describeXdp(mixed), 'native XDP, copy (zero-copy refused: EINVAL)');
  const worst = xdpStateOf(attachment('generic', 'native mode refused: ERANGE'), [copied]);
  const why = 'native mode refused: ERANGE; zero-copy refused: EINVAL';
  assert.equal(describeXdp(worst), `generic XDP, copy (${why})`);
});

test('options_xdp_takesItsWordsOnly', () => {
  for (const xdp of XDP_CHOICES) assert.equal(parseRunOptions({ xdp }).xdp, xdp);
  assert.throws(
    () => parseRunOptions({ xdp: 'fast' }),
    /--xdp takes auto, native, generic, native-/,
  );
});

test('options_xdpWithoutALink_isRefused', () => {
  for (const nic of ['tap', 'cable']) {
    const xdp: XdpChoice = 'zerocopy';
    assert.throws(() => parseRunOptions({ nic, xdp }), /has no XDP; leave out --xdp/);
  }
});

test('options_startTimeout_isSeconds', () => {
  assert.equal(parseRunOptions({}).startTimeout, 30);
  assert.equal(parseRunOptions({ startTimeout: '300' }).startTimeout, 300);
  for (const startTimeout of ['0', '-1', 'x', '']) {
    assert.throws(() => parseRunOptions({ startTimeout }), /--start-timeout takes/);
  }
});
