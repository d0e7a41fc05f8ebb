/**
 * An application that waits for something that never comes before it listens. Not a test itself.
 */
export default async function endless(): Promise<void> {
  await new Promise(() => setInterval(() => {}, 1000));
}
