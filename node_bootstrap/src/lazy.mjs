// A member that is made when it is first read. It can be assigned, destructured, listed and spread
// like any other.
import { ObjectDefineProperty } from './primordials.mjs';

export function lazy(target, name, make) {
  const settle = (value) =>
    ObjectDefineProperty(target, name, {
      __proto__: null,
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  ObjectDefineProperty(target, name, {
    __proto__: null,
    get() {
      const value = make();
      settle(value);
      return value;
    },
    set: settle,
    enumerable: true,
    configurable: true,
  });
}
