// Gives each test a sandbox of its own that is gone when the test ends.
import { Worker } from './worker.mjs';

/** A started worker, bound to `fixture` unless that is null. */
export async function sandbox(t, fixture, options = {}) {
  const worker = await Worker.start(options);
  t.after(() => worker.stop());
  if (fixture !== null) {
    const bound = await worker.bind(fixture, options);
    if (!bound.ok) throw new Error(`${fixture}: ${bound.fault.message}`);
  }
  return worker;
}
