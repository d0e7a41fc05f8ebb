/**
 * Errors that a user can do something about.
 *
 * - `code` is stable; the message is one line: what is wrong, then what to do.
 * - A `UserError` ends the command with its message alone and its exit code: 2 for what the user can mend, 1 for
 *   something that was fine and broke later. Any other exception is a bug of ours and keeps its stack.
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

/** What the kernel would not let this user do. */
export class PrivilegeError extends UserError {
  constructor(missing: readonly string[]) {
    super(
      'IX_PRIVILEGE',
      `not allowed to make network interfaces and AF_XDP sockets (no ${missing.join(', ')})`,
      'run as root, or: sudo npm start',
    );
  }
}

export class AddressInUseError extends UserError {
  constructor(problem: string) {
    super('IX_ADDRESS_IN_USE', problem, 'stop it or choose another with --ip');
  }
}

export class InterfaceError extends UserError {
  constructor(problem: string, remedy: string) {
    super('IX_INTERFACE', problem, remedy);
  }
}

/** The dataplane ended although nobody asked it to. */
export class DataplaneDiedError extends UserError {
  override readonly exitCode = 1;
  constructor(problem: string) {
    super('IX_DATAPLANE_DIED', problem, '');
  }
}
