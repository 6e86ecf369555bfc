// ctx.mpserverless.db with what the official service lacks: collections and indexes.

const INDEX_OPTIONS = {
  type: 'object',
  required: false,
  rule: {
    unique: { type: 'boolean', required: false },
    name: { type: 'string', required: false },
    maxTimeMS: { type: 'int', required: false, min: 0 },
  },
};

/**
 * Checks, sends and answers as the official queries do: `execute` of theirs takes any command of this form.
 * `schema`: of the arguments, in the words of the service's validator.
 */
function administer(query, command, args = {}, schema = {}) {
  query.comm = { schema, argMap: args, inspect: () => ({ ...args, command }) };
  return query.execute();
}

const ofCollections = {
  /**
   * `keys`: a field, or fields with 1 or -1. `options`: `unique`, `name`, `maxTimeMS`. Does nothing when
   * there is such an index. Resolves to `{success, affectedDocs, result: {name}}`.
   */
  createIndex(keys, options) {
    const args = { field: keys, options: options || {} };
    const field = typeof keys === 'string' ? 'string' : 'sort';
    return administer(this, 'createIndex', args, { field, options: INDEX_OPTIONS });
  },

  /** By its name; `*`: all but that of `_id`. One that is not there is an error: 27. */
  dropIndex(name) {
    return administer(this, 'dropIndex', { dropIndex: name }, { dropIndex: 'string' });
  },

  /** `result`: an array of `{name, key, ...}`; empty without the collection. */
  listIndexes() {
    return administer(this, 'listIndexes');
  },

  /** With all documents and indexes. `affectedDocs`: 1, or 0 when there was none. */
  drop() {
    return administer(this, 'drop');
  },

  /** A collection that has the new name already is an error: 48. */
  rename(newName) {
    return administer(this, 'rename', { newName }, { newName: 'string' });
  },
};

/**
 * The official service and these. What they answer has the form of the others, `{success, affectedDocs,
 * result}`; wrong arguments are refused before anything is sent (`ValidationFailed`). A transaction has
 * none of them.
 */
export function withAdministration(DbService) {
  return class extends DbService {
    collection(name) {
      return Object.assign(super.collection(name), ofCollections);
    }

    /** One that is there already is an error: 48. Inserts make their collections by themselves. */
    createCollection(name) {
      return administer(this.#ofAll(), 'createCollection', { name }, { name: 'string' });
    }

    /** `result`: the names, sorted. */
    listCollections() {
      return administer(this.#ofAll(), 'collections');
    }

    /** A query of no collection. */
    #ofAll() {
      const query = super.collection('');
      query.coll = undefined;
      return query;
    }
  };
}
