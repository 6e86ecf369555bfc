// The environment variables of one function: the payload of its bind frame.
import { ProtocolError } from './frames.mjs';

/** `[name, value]` pairs of the payload; empty = none. Throws ProtocolError, which quotes nothing. */
export function readEnvironment(payload) {
  if (payload === '') return [];
  let variables;
  try {
    variables = JSON.parse(payload);
  } catch {
    throw new ProtocolError('bad_payload', 'the environment is not JSON');
  }
  if (typeof variables !== 'object' || variables === null || Array.isArray(variables)) {
    throw new ProtocolError('bad_payload', 'the environment is not an object of texts');
  }
  const pairs = Object.entries(variables);
  if (!pairs.every(([, value]) => typeof value === 'string')) {
    throw new ProtocolError('bad_payload', 'the environment is not an object of texts');
  }
  return pairs;
}

/** Makes them variables of this process; what we set ourselves comes after and wins. */
export function setEnvironment(pairs) {
  for (const [name, value] of pairs) process.env[name] = value;
}
