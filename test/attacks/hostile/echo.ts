/**
 * The application of a hostile dataplane: echo, with whatever settings, which its dataplane reads.
 *
 * Started by control.ts for ../dataplane.live.test.ts.
 */
export { default } from '../../../src/apps/echo.ts';
