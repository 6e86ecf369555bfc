// What an invocation uses: time, processor, memory.
import { MathRound, cpuUsage, now, residentBytes } from './primordials.mjs';

const MIB = 1024 * 1024;
const RESIDENT_ALWAYS_FROM_MS = 1;
const RESIDENT_AGE_MAX_MS = 50;

let resident = { mb: 0, readMs: -Infinity };

/** Takes the values at the start. */
export function startUsage(invocation, scope) {
  if (scope.count === 1) invocation.cpuStart = cpuUsage();
  else scope.share();
  invocation.startedMs = now();
}

export const elapsedMs = (invocation) => rounded(now() - invocation.startedMs);

/** The figures of a result. cpuMs is known only when the invocation had the process to itself. */
export function usageOf(invocation) {
  const runMs = elapsedMs(invocation);
  const alone = invocation.cpuStart !== null && !invocation.shared;
  const cpu = alone ? cpuUsage(invocation.cpuStart) : null;
  const cpuMs = cpu === null ? null : (cpu.user + cpu.system) / 1000;
  return { __proto__: null, runMs, cpuMs, rssMb: residentMb(runMs) };
}

/** Reading it costs a quarter of a trivial call, which cannot change it: then it may be old. */
function residentMb(runMs) {
  const nowMs = now();
  if (runMs >= RESIDENT_ALWAYS_FROM_MS || nowMs - resident.readMs >= RESIDENT_AGE_MAX_MS) {
    resident = { mb: rounded(residentBytes() / MIB), readMs: nowMs };
  }
  return resident.mb;
}

const rounded = (number) => MathRound(number * 1000) / 1000;
