// What an invocation uses in this process: time, processor, memory.
import { MathRound, now, residentBytes, resourceUsage } from './primordials.mjs';

const MIB = 1024 * 1024;
const KIB_PER_MIB = 1024;
const RESIDENT_ALWAYS_FROM_MS = 1;
const RESIDENT_AGE_MAX_MS = 50;

let resident = { mb: 0, readMs: -Infinity };

/** Takes the values at the start. */
export function startUsage(invocation, scope) {
  if (scope.count !== 1) scope.share();
  invocation.usageStart = resourceUsage();
  invocation.startedMs = now();
}

export const elapsedMs = (invocation) => rounded(now() - invocation.startedMs);

/** The figures of a result. cpuMs is known only when the invocation had the process to itself. */
export function usageOf(invocation) {
  const runMs = elapsedMs(invocation);
  const start = invocation.usageStart;
  const end = resourceUsage();
  const cpuUs =
    end.userCPUTime - start.userCPUTime + (end.systemCPUTime - start.systemCPUTime);
  const cpuMs = invocation.shared ? null : cpuUs / 1000;
  // The most that the process ever had is this invocation's when it rose; else it is not known.
  const rssMb =
    end.maxRSS > start.maxRSS ? rounded(end.maxRSS / KIB_PER_MIB) : residentMb(runMs);
  return { __proto__: null, runMs, cpuMs, rssMb };
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
