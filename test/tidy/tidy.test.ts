/**
 * This project is as STYLE.md and the drawing of rooms in docs/ARCHITECTURE.md say. A complaint
 * says in one line what to do.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Check,
  callersThatDoNotCall,
  headless,
  importsOut,
  importsUp,
  longFiles,
  longFunctions,
  longLines,
  pathsGone,
  roomsAsDrawn,
  typesTwice,
} from './checks.ts';
import { Plan } from './rooms.ts';
import { Tree } from './source.ts';

const SHOWN = 2000;
const ours = Tree.ours();
const plan = Plan.drawnIn(ours);

function holds(check: Check): void {
  const complaints = check(ours);
  assert.equal(complaints.length, 0, `\n${complaints.slice(0, SHOWN).join('\n')}`);
}

test('everyImport_goesDown', () => holds(importsUp(plan)));
test('everyRoomDrawn_isThere_andEveryRoomThere_isDrawn', () => holds(roomsAsDrawn(plan)));
test('nothingOfSrc_importsWhatIsOutside', () => holds(importsOut));
test('lines_fitInto100Columns', () => holds(longLines));
test('functions_haveAtMost70Lines', () => holds(longFunctions));
test('files_haveAtMost500Lines', () => holds(longFiles));
test('everyFile_beginsWithItsContract', () => holds(headless));
test('everyPathNamed_isThere', () => holds(pathsGone));
test('everyCallerNamed_calls', () => holds(callersThatDoNotCall));
test('everyType_isDeclaredOnce', () => holds(typesTwice));
