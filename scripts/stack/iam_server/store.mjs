// Memory of the provider: a map, written to a file at its end, so that a restart keeps the logins.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const GRANTABLE = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);

export function openStore(path) {
  const kept = new Map(existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : []);

  const get = (key) => {
    const entry = kept.get(key);
    if (entry && entry.end && entry.end <= Date.now()) {
      kept.delete(key);
      return undefined;
    }
    return entry && entry.value;
  };
  const set = (key, value, seconds) => {
    // What has ended is kept a while: the provider says "expired" then, not "unknown".
    kept.set(key, { value, end: seconds ? Date.now() + (seconds + 600) * 1000 : null });
  };

  class Adapter {
    constructor(model) {
      this.model = model;
    }

    key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload, expiresIn) {
      if (this.model === 'Session') set(`uid:${payload.uid}`, id, expiresIn);
      if (payload.userCode) set(`code:${payload.userCode}`, id, expiresIn);
      if (GRANTABLE.has(this.model) && payload.grantId) {
        const name = `grant:${payload.grantId}`;
        set(name, [...(get(name) ?? []), this.key(id)]);
      }
      set(this.key(id), payload, expiresIn);
    }

    async find(id) {
      return get(this.key(id));
    }

    async findByUid(uid) {
      return this.find(get(`uid:${uid}`));
    }

    async findByUserCode(code) {
      return this.find(get(`code:${code}`));
    }

    async consume(id) {
      get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      kept.delete(this.key(id));
    }

    async revokeByGrantId(grantId) {
      for (const key of get(`grant:${grantId}`) ?? []) kept.delete(key);
      kept.delete(`grant:${grantId}`);
    }
  }

  const save = () => {
    writeFileSync(`${path}.new`, JSON.stringify([...kept]), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  return { Adapter, save };
}
