// ctx.mpserverless: the official service packages on a transport of ours. No key, no endpoint: the
// channel is the identity. Argument checks and result shapes are the packages' own.
import { createRequire } from 'node:module';
import { withAdministration } from './database_service.mjs';
import { withCarefulUploads } from './file_service.mjs';
import { withJobs } from './function_service.mjs';
import { lazy } from './lazy.mjs';

const require = createRequire(import.meta.url);
const DB_METHOD = 'serverless.db.default.execute';

let classes = null; // see loadServices

let fileService = null;

/** The class of `ctx.mpserverless.file`. */
function loadFileService() {
  fileService ??= withCarefulUploads(
    require('@alicloud/mpserverless-node-file-service').FunctionFileService,
  );
  return fileService;
}

/**
 * Loads what ctx.mpserverless may need, but the HTTP client of uploads. Never throws: without the
 * packages a function that uses them will say so.
 */
export function prewarmServices() {
  try {
    loadServices();
    loadFileService();
  } catch {
    // see above
  }
}

/** Loads the packages, once. Costs some milliseconds. */
function loadServices() {
  if (classes !== null) return classes;
  // The core first: the others need a global that it makes.
  const core = require('@alicloud/mpserverless-core');
  const { DbService } = require('@alicloud/mp-db-service');
  const { FunctionService } = require('@alicloud/mp-function-service');
  const { FunctionUserService } = require('@alicloud/mpserverless-node-user-service');

  /** Sends what the services encode as `call` frames. */
  class ChannelTransport extends core.HTTPTransport {
    constructor(call, spaceId, userId) {
      super('');
      this.setSpaceId(spaceId);
      this.call = call;
      this.userId = userId;
    }

    getEncoder(prefix) {
      const encoder = super.getEncoder(prefix);
      return this.userId === undefined ? encoder : encoder.setUserId(this.userId);
    }

    async request(encoder) {
      const { method, params, userId } = encoder.body;
      return decodeEnvelope(await this.call(method, params, userId), method);
    }
  }
  classes = {
    ChannelTransport,
    DbService: withAdministration(DbService),
    FunctionService: withJobs(FunctionService),
    FunctionUserService,
  };
  return classes;
}

/** What `ctx.mpserverless` is. Shape as the official node SDK's object. */
class Serverless {
  #call;
  #spaceId;
  #httpclient;

  /**
   * `call(method, params, userId)` resolves to the envelope. `userId` undefined = as the caller's
   * user.
   */
  constructor(call, spaceId, httpclient, userId) {
    const { ChannelTransport, DbService, FunctionService, FunctionUserService } = loadServices();
    this.#call = call;
    this.#spaceId = spaceId;
    this.#httpclient = httpclient;
    const transport = new ChannelTransport(call, spaceId, userId);
    const user = new FunctionUserService(transport);
    this.db = new DbService(transport);
    this.user = user;
    this.function = new FunctionService(transport);
    this.httpProxyClient = {
      get: (url, query, headers) => user.proxyHttpClientGetRequest(url, query, headers),
      post: (url, text, headers) => user.proxyHttpClientPostRequest(url, text, headers),
      postJson: (url, json, headers) => user.proxyHttpClientPostJsonRequest(url, json, headers),
      postForm: (url, form, headers) => user.proxyHttpClientPostFormDataRequest(url, form, headers),
    };
    // As costly to load as all the others together.
    lazy(this, 'file', () => new (loadFileService())(transport, httpclient.request));
  }

  /** A new object whose calls act as this end user. */
  setUserId(userId) {
    if (!userId) throw new Error('userId is required');
    return new Serverless(this.#call, this.#spaceId, this.#httpclient, `${userId}`);
  }

  /** The original's debugging switches; there is no HTTP here that they could show or change. */
  setDebugFlag() {}

  setUA() {}
}

export function makeServerless(call, spaceId, httpclient) {
  return new Serverless(call, spaceId, httpclient, undefined);
}

/**
 * Envelope to the response that the services expect, by the rules of the node SDK (spec: server
 * protocol §3).
 */
function decodeEnvelope(envelope, method) {
  if (envelope?.error) {
    const error = new Error(envelope.error.message);
    error.code = envelope.error.code;
    throw error;
  }
  const { data, header, requestId, ...rest } = envelope ?? {};
  const body = method === DB_METHOD && data ? { ...rest, ...data } : { ...rest, result: data };
  delete body.header;
  return { body, headers: { 'request-id': requestId }, status: 200, error: undefined };
}
