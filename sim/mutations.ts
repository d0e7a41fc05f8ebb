/**
 * Bugs to be planted: does the simulator find them? Each is one change of one file; `find` stands
 * there exactly once.
 *
 * - They are what people get wrong: a missing case at a wrap, a byte too many, a timer that is not
 *   set.
 *
 * Used by mutate.ts and its test.
 */
export interface Mutation {
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'sequence numbers compared as plain integers',
    file: 'tcp/seq.ts',
    find: 'export const lt = (a: number, b: number): boolean => ((a - b) | 0) < 0;',
    replace: 'export const lt = (a: number, b: number): boolean => a < b;',
  },
  {
    name: 'later sequence numbers compared as plain integers',
    file: 'tcp/seq.ts',
    find: 'export const gt = (a: number, b: number): boolean => ((a - b) | 0) > 0;',
    replace: 'export const gt = (a: number, b: number): boolean => a > b;',
  },
  {
    name: 'send span given back one byte early',
    file: 'tcp/send-queue.ts',
    find: 'if (left < length) break;',
    replace: 'if (left < length - 1) break;',
  },
  {
    name: 'rewind forgets how much of the first span is acknowledged',
    file: 'tcp/send-queue.ts',
    find: 'i32[row + TCB.txNextDone] = i32[row + TCB.txHeadDone]!;',
    replace: 'i32[row + TCB.txNextDone] = 0;',
  },
  {
    name: 'checksum of a piece at an odd place not turned round',
    file: 'tcp/send-queue.ts',
    find: '(copied & 1) === 0 ? part',
    replace: '(copied & 1) >= 0 ? part',
  },
  {
    name: 'dead flow keeps its send spans',
    file: 'tcp/teardown.ts',
    find: 'this.#sendQueue.clear(row);',
    replace: '',
  },
  {
    name: 'received frames leak when a flow dies',
    file: 'tcp/teardown.ts',
    find: 'this.#receiveQueue.clear(row);\n    if (row === this.#awaited)',
    replace: 'if (row === this.#awaited)',
  },
  {
    name: 'overlap of one byte with an out-of-order frame not cut off',
    file: 'tcp/out-of-order.ts',
    find: 'if (overlap > 0) {\n        data += overlap;',
    replace: 'if (overlap > 1448) {\n        data += overlap;',
  },
  {
    name: 'out-of-order frames drained across a hole',
    file: 'tcp/out-of-order.ts',
    find: 'if (run === 0 || gt(i32[run + HELD.seq]!, next)) return 0;',
    replace: 'if (run === 0) return 0;',
  },
  {
    name: 'refused segment acknowledged all the same',
    file: 'tcp/receive.ts',
    find: 'if (result === REFUSED) {\n      this.acknowledgeNow(row);',
    replace:
      'if (result === REFUSED) {\n      i32[row + TCB.rcvNxt] = (i32[row + TCB.rcvNxt]! + length) | 0;',
  },
  {
    name: 'window rounded down',
    file: 'tcp/segment.ts',
    find: '(window + (1 << scale) - 1) >> scale',
    replace: 'window >> scale',
  },
  {
    name: 'window never updated when the application reads',
    file: 'tcp/calls.ts',
    find: 'if (this.#writer.shouldUpdateWindow(row)) this.#receiving.acknowledgeNow(row);',
    replace: '',
  },
  {
    name: 'peer window not scaled',
    file: 'tcp/synchronized.ts',
    find: 'const window = a.window << i32[row + TCB.sndScale]!;',
    replace: 'const window = a.window;',
  },
  {
    name: 'peer window ignored when sending',
    file: 'tcp/output.ts',
    find: 'return Math.min(wnd, cwnd);',
    replace: 'return Math.max(wnd > 0 ? 1 : 1, cwnd);',
  },
  {
    name: 'zero window never probed',
    file: 'tcp/output.ts',
    find: 'this.#timers.set(row, TIMER.persist, TCB.persistAt, (this.#clock.us + wait) | 0);',
    replace: 'this.#timers.clear(row, TIMER.persist + wait * 0);',
  },
  {
    name: 'FIN before the last data',
    file: 'tcp/output.ts',
    find: '(isLast && hasFin ? FIN : 0)',
    replace: '(hasFin ? FIN : 0)',
  },
  {
    name: 'FIN not sent again',
    file: 'tcp/expire.ts',
    find: 'if (una === i32[row + TCB.sndMax]) return true;',
    replace: 'if (i32[row + TCB.txBytes] === 0 && state > STATE.established) return true;',
  },
  {
    name: 'timeout does not back off',
    file: 'tcp/rto.ts',
    find: 'const rto = i32[row + TCB.rto]! << 1;',
    replace: 'const rto = i32[row + TCB.rto]!;',
  },
  {
    name: 'timeout does not go back to the first unacknowledged byte',
    file: 'tcp/expire.ts',
    find: 'i32[row + TCB.sndNxt] = una;',
    replace: '',
  },
  {
    name: 'retransmission timer not restarted by an acknowledgement',
    file: 'tcp/acknowledge.ts',
    find: 'else this.#timer.restart(row);\n    if (this.#hasMore(row))',
    replace: 'else this.#timers.clear(row, TIMER.rto);\n    if (this.#hasMore(row))',
  },
  {
    name: 'FIN taken before the data in front of it',
    file: 'tcp/synchronized.ts',
    find: 'if (isFin && i32[row + TCB.rcvFin] === i32[row + TCB.rcvNxt]) this.#finish(row);',
    replace: 'if (isFin) this.#finish(row);',
  },
  {
    name: 'checksum of received segments not looked at',
    file: 'tcp/input.ts',
    find: 'if (!this.#isIntact(tcp, bytes, source, destination)) {',
    replace: 'if (!this.#isIntact(tcp, bytes, source, destination) && bytes < 0) {',
  },
  {
    name: 'old data in front of new not trimmed',
    file: 'tcp/synchronized.ts',
    find: '      a.trimFront(old);\n',
    replace: '      if (old !== 1) a.trimFront(old);\n',
  },
  {
    name: 'peer MSS ignored',
    file: 'tcp/open.ts',
    find: 'this.setMss(row, Math.min(peerMss, fits));',
    replace: 'this.setMss(row, fits);',
  },
  {
    name: 'delayed acknowledgement never sent',
    file: 'tcp/output.ts',
    find:
      'this.#timers.set(row, TIMER.delack, TCB.delackAt, ' +
      '(this.#clock.us + DELAYED_ACK_US) | 0);',
    replace: 'this.#timers.clear(row, TIMER.delack + DELAYED_ACK_US * 0);',
  },
  {
    name: 'SACK block one byte too long',
    file: 'tcp/options.ts',
    find: 'view.setInt32(block + 4, end);',
    replace: 'view.setInt32(block + 4, end + 1);',
  },
  {
    name: 'bytes told as sent twice',
    file: 'tcp/events.ts',
    find: 'i32[row + TCB.sentBytes] = 0;',
    replace: '',
  },
  {
    name: 'keepalive asks with a new sequence number',
    file: 'tcp/output.ts',
    find: 'const seq = (i32[row + TCB.sndUna]! - 1) | 0;',
    replace: 'const seq = i32[row + TCB.sndUna]!;',
  },
  {
    name: 'TIME-WAIT never ends',
    file: 'tcp/teardown.ts',
    find: 'this.#timers.set(row, TIMER.long, TCB.longAt, (this.#clock.us + this.timeWaitUs) | 0);',
    replace: '',
  },
  {
    name: 'timestamp echo is our own',
    file: 'tcp/segment.ts',
    find: 'writeTimestamps(view, tcp + TCP_OPTIONS, tsVal, i32[row + TCB.tsRecent]!);',
    replace: 'writeTimestamps(view, tcp + TCP_OPTIONS, tsVal, tsVal);',
  },
  {
    name: 'timeout skips a byte that is not acknowledged',
    file: 'tcp/expire.ts',
    find: 'i32[row + TCB.dupAcks] = 0;',
    replace: 'i32[row + TCB.sndUna] = i32[row + TCB.sndUna]! + 1;',
  },
  {
    name: 'a timer set while another fires hides earlier ones',
    file: 'tcp/timers.ts',
    find: 'if ((timers & TIMER.armed) !== 0 && !lt(at, i32[row + TCB.armedAt]!)) return;',
    replace: 'if ((timers & TIMER.armed) !== 0) return;',
  },
  {
    name: 'black hole never found',
    file: 'tcp/path-mtu.ts',
    find: 'if (retries < BLACK_HOLE_TIMEOUTS ||',
    replace: 'if (retries < BLACK_HOLE_TIMEOUTS * 99 ||',
  },
  {
    name: 'larger segment tried than the peer has named',
    file: 'tcp/path-mtu.ts',
    find:
      'return this.#payload(row, ' +
      'Math.min(this.#i32[row + TCB.peerMss]! + this.#headers(row), link));',
    replace: 'return this.#payload(row, link);',
  },
  {
    name: 'probe for a larger segment counted as a segment of the old size',
    file: 'tcp/output.ts',
    find: 'if (!this.#segment(row, next, ACK, bytes)) return false;',
    replace:
      'if (!this.#segment(row, next, ACK, bytes)) return false;\n    i32[row + TCB.sndNxt] = (next + i32[row + TCB.mss]!) | 0;',
  },
  {
    name: 'ECN: retransmissions marked as able',
    file: 'tcp/ecn.ts',
    find: 'if (length === 0 || lt(seq, i32[row + TCB.sndMax]!)) return echo;',
    replace: 'if (length === 0) return echo;',
  },
  {
    name: 'ECN: agreed to without being asked',
    file: 'tcp/ecn.ts',
    find: "? this.#option !== 'off' && bits === (ECE | CWR)",
    replace: "? this.#option !== 'off'",
  },
  {
    name: 'ECN: marks not echoed',
    file: 'tcp/ecn.ts',
    find: 'if (isMarked) now |= ECHO;',
    replace: '',
  },
  {
    name: 'ECN: echo never ends',
    file: 'tcp/ecn.ts',
    find: 'if ((flags & CWR) !== 0) now &= ~ECHO;',
    replace: '',
  },
  {
    name: 'ECN: echoes not answered',
    file: 'tcp/ecn.ts',
    find: 'i32[row + RARE.ecn] = i32[row + RARE.ecn]! | REDUCED;',
    replace: '',
  },
  {
    name: 'ECN: window reduced for a mark below two segments',
    file: 'tcp/dctcp.ts',
    find: 'Math.max(cwnd - Math.floor(less), i32[row + TCB.mss]! << 1)',
    replace: 'cwnd - Math.floor(less)',
  },
  {
    name: 'dead orphan stays in the list of orphans',
    file: 'tcp/teardown.ts',
    find: 'this.#flows.output.remove(row);\n    this.#flows.orphans.remove(row);',
    replace: 'this.#flows.output.remove(row);',
  },
  {
    name: 'half-open connection not discovered: no challenge to a SYN',
    file: 'tcp/synchronized.ts',
    find: 'if (!this.#checkTimestamps(row, a) || !this.#checkSequence(row, a)) return FREE_FRAME;',
    replace:
      'if ((a.flags & (SYN | ACK)) === SYN) return FREE_FRAME;\n' +
      '    if (!this.#checkTimestamps(row, a) || !this.#checkSequence(row, a)) return FREE_FRAME;',
  },
  {
    name: 'half-open connection not discovered: no RST for a wrong acknowledgement of a SYN',
    file: 'tcp/syn-sent.ts',
    find: 'if ((a.flags & RST) === 0) this.#writer.reset(a.remote, a.ports, a.local, a.ack, 0, 0);',
    replace: '',
  },
  {
    name: 'last fragment put eight bytes too far',
    file: 'net/both/reassembly.ts',
    find: 'this.#kernels.copy(place, at, bytes);',
    replace: 'this.#kernels.copy(isLast ? place + 8 : place, at, bytes);',
  },
  {
    name: 'checksum of received datagrams not looked at',
    file: 'net/udp.ts',
    find: 'if (!this.#isChecksumRight(ip, udp, length, source)) return',
    replace: 'if (!this.#isChecksumRight(ip, udp, length, source) && bytes < 0) return',
  },
  // --- loss recovery ---
  {
    name: 'recovery: a loss does not reduce the window',
    file: 'tcp/recovery.ts',
    find: 'this.#congestion.enterRecovery(row, Math.min(flight, i32[row + TCB.cwnd]!));',
    replace: '',
  },
  {
    name: 'recovery: what is sent again is not counted against what was delivered',
    file: 'tcp/recovery.ts',
    find: 'Math.max(i32[row + TCB.prrFlight]!, 1)) - out;',
    replace: 'Math.max(i32[row + TCB.prrFlight]!, 1)) - out * 0;',
  },
  {
    name: 'recovery: the window stays open when it ends',
    file: 'tcp/recovery.ts',
    find:
      'i32[row + TCB.cwnd] = Math.max(i32[row + TCB.ssthresh]!, i32[row + TCB.mss]!);\n' +
      '    }\n    const keep',
    replace: 'i32[row + TCB.cwnd] = i32[row + TCB.undoCwnd]!;\n    }\n    const keep',
  },
  {
    name: 'scoreboard: a timeout loses what was selectively acknowledged, too',
    file: 'tcp/scoreboard.ts',
    find: 'if (hasReneged || (i32[run + RUN.bits]! & SACKED) === 0) this.#account(row, run, LOST);',
    replace: 'if (hasReneged || run !== 0) this.#account(row, run, LOST);',
  },
  {
    name: 'scoreboard: the second part of a run that is cut forgets what is known',
    file: 'tcp/scoreboard.ts',
    find: 'i32[rest + RUN.bits] = i32[run + RUN.bits]!;',
    replace: 'i32[rest + RUN.bits] = 0;',
  },
  {
    name: 'scoreboard: a lost run that is acknowledged stays in the sum',
    file: 'tcp/scoreboard.ts',
    find: 'if ((bits & LOST) !== 0) i32[row + TCB.lost] = i32[row + TCB.lost]! - length;',
    replace: '',
  },
  {
    name: 'loss timer: one probe after the other, never a timeout',
    file: 'tcp/loss-timer.ts',
    find: 'FLAG.sack | FLAG.disorder | FLAG.recovery | FLAG.loss | FLAG.tail | FLAG.tailDue;',
    replace: 'FLAG.sack | FLAG.disorder | FLAG.recovery | FLAG.loss;',
  },
  {
    name: 'loss timer: not set by the first transmission',
    file: 'tcp/loss-timer.ts',
    find: 'if (isSet && i32[row + TCB.waitsFor] !== WAIT.probe) return;',
    replace: 'if (!isSet || i32[row + TCB.waitsFor] !== WAIT.probe) return;',
  },
  {
    name: 'CUBIC: a loss leaves all that was in flight',
    file: 'tcp/cubic.ts',
    find: 'Math.max(flight * BETA, i32[row + TCB.mss]! << 1)',
    replace: 'Math.max(flight, i32[row + TCB.mss]! << 1)',
  },
  {
    name: 'timeout leaves the window open',
    file: 'tcp/congestion.ts',
    find: 'this.decrease(row, flight);\n    i32[row + TCB.cwnd] = i32[row + TCB.mss]!;',
    replace: 'this.decrease(row, flight);',
  },
  {
    name: 'CUBIC: slow start counts what is acknowledged twice',
    file: 'tcp/cubic.ts',
    find: 'bytes >> CSS_GROWTH_SHIFT : bytes);',
    replace: 'bytes >> CSS_GROWTH_SHIFT : bytes * 2);',
  },
  {
    name: 'NewReno: a loss leaves all that was in flight',
    file: 'tcp/congestion.ts',
    find: 'const half = flight >> 1;',
    replace: 'const half = flight;',
  },
  {
    name: 'NewReno: the window stays inflated after recovery',
    file: 'tcp/congestion.ts',
    find: 'i32[row + TCB.cwnd] = Math.min(ssthresh, atLeast);',
    replace: 'i32[row + TCB.cwnd] = Math.max(i32[row + TCB.cwnd]!, Math.min(ssthresh, atLeast));',
  },
  {
    name: 'DSACK named again and again',
    file: 'tcp/sack-writer.ts',
    find: 'i32[row + TCB.dsackStart] = end; // once',
    replace: '',
  },
  {
    name: 'SACK block across a hole',
    file: 'tcp/sack-writer.ts',
    find: 'this.#block(this.#i32[run + HELD.seq]!, this.#outOfOrder.endOf(run));',
    replace: 'this.#block(this.#i32[run + HELD.seq]!, (this.#outOfOrder.endOf(run) + 1) | 0);',
  },
  // --- SYN cookies ---
  {
    name: "cookie: its largest segment is believed, not the peer's",
    file: 'tcp/syn-cookies.ts',
    find: 'options.mss = MSS[plain & 7]!;',
    replace: 'options.mss = MSS[MSS.length - 1]!;',
  },
  {
    name: 'cookie: window scale forgotten',
    file: 'tcp/syn-cookies.ts',
    find: 'options.scale = agreed === STAMPS_AND_SCALE ? scale : -1;',
    replace: 'options.scale = 14;',
  },
  {
    name: 'cookie: any acknowledgement is one',
    file: 'tcp/syn-cookies.ts',
    find:
      'while (this.#cookie(a, (a.seq - 1) | 0, plain, agreed) !== iss) ' +
      'if (--agreed < 0) return false;',
    replace: '',
  },
  // --- IPv6 ---
  {
    name: 'IPv6: a solicitation is not answered',
    file: 'net/v6/ndp.ts',
    find: 'if (message < 0) return;\n    const flags = NA_OVERRIDE',
    replace: 'if (message < 0 || token !== 0) return;\n    const flags = NA_OVERRIDE',
  },
  {
    name: 'IPv6: an address that is held is counted as used by nobody',
    file: 'net/v6/destinations.ts',
    find:
      'if (this.#i32[users] === 0) this.#idle.remove(token - 1);\n' +
      '    this.#i32[users] = this.#i32[users]! + 1;',
    replace: 'if (this.#i32[users] === 0) this.#i32[users] = 1;',
  },
];
