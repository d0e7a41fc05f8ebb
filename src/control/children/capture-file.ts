/**
 * The file of `--capture`, opened with a control plane's privileges under a name that others may
 * know or guess.
 *
 * - The first life of a service overwrites the file that the user has named, if it is one: a
 *   regular file of our own, with no other name. Not what a link leads to, nor a file that somebody
 *   else has put there, who would get to read every frame.
 * - A life after the first has a file of its own, FILE.1 or the next number that is free: what the
 *   last one saw before it died stays, and nothing that is there already is opened. The last KEPT
 *   of them are kept: a service that dies again and again does not fill the disk.
 *
 * Called by control/service/life.ts and cli/demonstration.ts.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  unlinkSync,
} from 'node:fs';
import { OptionError } from '../../errors.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;
const OWNER_ONLY = 0o600;
/** More captures of one service than this are nobody's. */
const FILES_MAX = 1000;

/** Lives after the first whose files stay. */
export const KEPT = 8;

interface Made {
  path: string;
  device: number;
  inode: number;
}

/** The files of one service, life after life. */
export class CaptureFiles {
  readonly #path: string;
  /** Of lives after the first, oldest first. */
  readonly #made: Made[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  /** `number`: 0 for the first life of the service. */
  open(number: number): number {
    try {
      return number === 0 ? overwrite(this.#path) : this.#openNext(number);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === 'ELOOP' ? 'it is a link' : (code ?? message);
      throw new OptionError(
        `--capture ${this.#path}: ${why}`,
        'give the path of a file that can be written',
      );
    }
  }

  #openNext(number: number): number {
    const { fd, path } = openFree(this.#path, number);
    const { dev: device, ino: inode } = fstatSync(fd);
    this.#made.push({ path, device, inode });
    if (this.#made.length > KEPT) remove(this.#made.shift()!);
    return fd;
  }
}

/** If it is still what we made. */
function remove({ path, device, inode }: Made): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.dev === device && found.ino === inode) unlinkSync(path);
}

function overwrite(path: string): number {
  const fd = openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, OWNER_ONLY);
  try {
    const found = fstatSync(fd);
    if (!found.isFile()) throw new Error('it is no file');
    if (found.uid !== process.geteuid?.()) throw new Error('it is the file of another user');
    if (found.nlink > 1) throw new Error('it has another name');
    ftruncateSync(fd, 0);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openFree(path: string, first: number): { fd: number; path: string } {
  for (let number = first; ; number++) {
    const name = `${path}.${number}`;
    try {
      const fd = openSync(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, OWNER_ONLY);
      return { fd, path: name };
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EEXIST';
      if (!isTaken || number >= first + FILES_MAX) throw error;
    }
  }
}
