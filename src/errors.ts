/**
 * Errors that a user can do something about.
 *
 * - `code` is stable; the message is one line: what is wrong, then what to do.
 * - A `UserError` ends the command with its message alone and its exit code: 2 for what the user
 *   can mend, 1 for something that was fine and broke later.
 * - Any other exception is a bug of ours and keeps its stack.
 */
export class UserError extends Error {
  readonly code: string;
  readonly exitCode: number = 2;
  constructor(code: string, problem: string, remedy: string) {
    super(remedy ? `${problem}; ${remedy}` : problem);
    this.code = code;
  }
}

/** An option or argument that cannot be. */
export class OptionError extends UserError {
  constructor(problem: string, remedy = 'see: bin/ix --help') {
    super('IX_OPTION', problem, remedy);
  }
}

/** What the kernel would not let this user do; a tap needs no root in a namespace of one's own. */
export class PrivilegeError extends UserError {
  constructor(nic: string, missing: readonly string[]) {
    const [what, remedy] =
      nic === 'tap'
        ? ['network interfaces', 'run as root, or: unshare -Urn bin/ix serve kv --nic tap']
        : ['network interfaces and AF_XDP sockets', 'run as root, or: sudo npm start'];
    super('IX_PRIVILEGE', `not allowed to make ${what} (no ${missing.join(', ')})`, remedy);
  }
}

export class AddressInUseError extends UserError {
  constructor(problem: string, remedy = 'stop it or choose another with --ip') {
    super('IX_ADDRESS_IN_USE', problem, remedy);
  }
}

export class InterfaceError extends UserError {
  constructor(problem: string, remedy: string) {
    super('IX_INTERFACE', problem, remedy);
  }
}

/** Codes of what is a fault in the code, of the application or ours, and no refusal. */
const FAULTS = /^(ERR_|IX_DATAPLANE|IX_INVARIANT|IX_WORKER|IX_APPLICATION$)|^[^_]*$/;

/**
 * The dataplane says why it cannot start. A refusal (wrong setting, busy queue) is one line and
 * exit code 2; a fault keeps its stack, exit code 1.
 */
export class DataplaneFailedError extends UserError {
  override readonly exitCode: number;
  constructor(code: string, message: string) {
    const isFault = FAULTS.test(code);
    const [first = ''] = message.replace(/^\w*Error(?: \[\w+\])?: /, '').split('\n');
    super(code, isFault ? message : first, '');
    this.exitCode = isFault ? 1 : 2;
  }
}

/** The interface was removed, or is in another network namespace. */
export class LinkGoneError extends UserError {
  override readonly exitCode = 1;
  constructor(what: string) {
    super('IX_LINK_GONE', `the service has ended, its interface ${what}`, 'start it again');
  }
}

/** The dataplane ended although nobody asked it to. */
export class DataplaneDiedError extends UserError {
  override readonly exitCode = 1;
  constructor(problem: string) {
    super('IX_DATAPLANE_DIED', problem, '');
  }
}
