// Finds and loads the user's module and picks its entry.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ReflectApply } from './primordials.mjs';

const requireAny = createRequire(import.meta.url);
const FILES = ['index.js', 'index.mjs', 'index.cjs'];

/** What runs for each invocation. `style` is `ctx` (one argument) or `event` (event, context). */
class Entry {
  constructor(style, run) {
    this.style = style;
    this.run = run;
  }
}

/** The function's package is not usable as it is: its author has to act. */
class PackageError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'PackageError';
    this.code = code;
  }
}

/** The file that holds the entry. Throws PackageError. */
export function findEntryFile(codeDir, functionName) {
  const folders = [codeDir];
  if (basename(functionName) === functionName) folders.push(join(codeDir, functionName));
  for (const folder of folders) {
    for (const file of FILES) if (existsSync(join(folder, file))) return join(folder, file);
  }
  throw new PackageError(
    'MODULE_NOT_FOUND',
    `the package has no index.js, neither at the top of the zip nor in a folder "${functionName}"`,
  );
}

/**
 * Loads the module and returns its Entry. Rejects with whatever the module throws, or with
 * PackageError.
 */
export async function loadEntry(file, codeDir) {
  return pickEntry(
    isEsModule(file, codeDir) ? await import(pathToFileURL(file)) : await requireFile(file),
  );
}

async function requireFile(file) {
  try {
    return requireAny(file);
  } catch (error) {
    // Newer versions find out by its syntax that a file is an ES module, and load it even here,
    // but not when it awaits at its top level.
    if (error?.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error;
    return import(pathToFileURL(file));
  }
}

/**
 * As Node decides it, by the nearest package.json; asked beforehand because `require` of such files
 * differs by version.
 */
function isEsModule(file, codeDir) {
  if (file.endsWith('.mjs')) return true;
  if (file.endsWith('.cjs')) return false;
  for (let folder = dirname(file); folder.length >= codeDir.length; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) {
      try {
        return JSON.parse(readFileSync(manifest, 'utf8')).type === 'module';
      } catch {
        return false; // Node will say what is wrong with it
      }
    }
    if (folder === dirname(folder)) break;
  }
  return false;
}

/**
 * `module.exports` being a function wins, then `main`, `default`, `handler`. Throws PackageError.
 */
function pickEntry(module) {
  if (typeof module === 'function') return new Entry('ctx', module);
  if (typeof module?.main === 'function') {
    const { main } = module;
    return new Entry('event', (event, context) => ReflectApply(main, module, [event, context]));
  }
  if (typeof module?.default === 'function') return new Entry('ctx', module.default);
  // import() of CommonJS, or a bundle of a bundle
  if (typeof module?.default?.main === 'function') {
    const { main } = module.default;
    return new Entry('event', (event, context) =>
      ReflectApply(main, module.default, [event, context]),
    );
  }
  if (typeof module?.handler === 'function') return new Entry('ctx', module.handler);
  throw new PackageError(
    'ENTRY_NOT_FOUND',
    'the module exports no function: use module.exports = async (ctx) => { ... }' +
      ' (or exports.main, default, handler)',
  );
}
