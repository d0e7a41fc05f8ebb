/**
 * When the crawler takes its steps: every CRAWL_US while it has work, by a timer of its own.
 *
 * - A timer may be refused (a quota), and who asked is told nothing but a line for the operator. So
 *   `tick`, which comes once a second by a timer that is there already, takes a step itself where
 *   none was taken since the last one. The next work asks for a timer again.
 * - One timer counts at a time: one that is so late that there was other work since does nothing.
 *
 * Called by kv.ts.
 */
import type { Crawler } from './crawler.ts';
import type { KvHost } from './host.ts';

/** Between two steps: 800,000 chunks a second at most. */
const CRAWL_US = 5000;

export class CrawlTimer {
  readonly #host: KvHost;
  readonly #crawler: Crawler;
  #isCrawling = false;
  /** Since the last tick; to have begun counts. */
  #hasStepped = false;
  /** Of the timer that counts. */
  #number = 0;

  constructor(host: KvHost, crawler: Crawler) {
    this.#host = host;
    this.#crawler = crawler;
  }

  /** There is work. */
  start(): void {
    if (this.#isCrawling) return;
    this.#isCrawling = true;
    this.#hasStepped = true;
    this.#wait();
  }

  /** Once a second. */
  tick(): void {
    if (this.#isCrawling && !this.#hasStepped) this.#isCrawling = this.#crawler.step();
    this.#hasStepped = false;
  }

  #wait(): void {
    this.#number += 1;
    const number = this.#number;
    this.#host.timer(CRAWL_US, () => {
      if (number !== this.#number || !this.#isCrawling) return;
      this.#hasStepped = true;
      this.#isCrawling = this.#crawler.step();
      if (this.#isCrawling) this.#wait();
    });
  }
}
