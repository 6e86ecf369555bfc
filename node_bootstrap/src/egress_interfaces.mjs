// os.networkInterfaces() asks the kernel over netlink, which a sandbox may not: it would throw. Drivers
// and loggers call it to describe the machine, and none of them expects an error.
import { createRequire } from 'node:module';
import { ReflectApply } from './primordials.mjs';

const require = createRequire(import.meta.url);

/** os.networkInterfaces answers with loopback alone where the system refuses. */
export function guardInterfaces() {
  const os = require('node:os');
  const native = os.networkInterfaces;
  os.networkInterfaces = function networkInterfaces() {
    try {
      return ReflectApply(native, os, []);
    } catch {
      return { lo: [loopback()] };
    }
  };
}

/** A new one each time: callers may change what they get. */
const loopback = () => ({
  address: '127.0.0.1',
  netmask: '255.0.0.0',
  family: 'IPv4',
  mac: '00:00:00:00:00:00',
  internal: true,
  cidr: '127.0.0.1/8',
});
