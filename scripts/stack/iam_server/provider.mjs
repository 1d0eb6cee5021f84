// An OpenID provider for the loopback interface, with the claims that INDIGO IAM gives.
//
//   node provider.mjs STATE_FOLDER PORT
//
// STATE_FOLDER/settings.json is read before each request: life times in seconds and an error of the
// clock. Any password will do: nothing beyond this machine may reach it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { generateKeyPair, exportJWK } from 'jose';
import Provider, { errors } from 'oidc-provider';

import { openStore } from './store.mjs';

const [folder, port] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const read = (name) => JSON.parse(readFileSync(`${folder}/${name}`, 'utf8'));
const users = read('users.json');
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

let settings = read('settings.json');
const realNow = Date.now;
Date.now = () => realNow() + 1000 * (settings.clock ?? 0);

if (!existsSync(`${folder}/keys.json`)) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const key = { ...(await exportJWK(privateKey)), kid: 'stack', use: 'sig', alg: 'RS256' };
  writeFileSync(`${folder}/keys.json`, JSON.stringify({ keys: [key] }), { mode: 0o600 });
}

// What a token is for: the resource that is asked for, and the audience that is written into it.
const RESOURCES = { 'urn:cta:rucio': 'rucio', 'urn:cta:storage': 'storage' };
const SCOPES = 'openid profile wlcg.groups storage.read storage.modify';
const resourceServer = (resource) => {
  if (!(resource in RESOURCES)) throw new errors.InvalidTarget();
  return {
    scope: SCOPES,
    audience: RESOURCES[resource],
    accessTokenFormat: 'jwt',
    accessTokenTTL: settings.access,
    jwt: { sign: { alg: 'RS256' } },
  };
};

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const native = { application_type: 'native', token_endpoint_auth_method: 'none' };
const store = openStore(`${folder}/store.json`);
const provider = new Provider(issuer, {
  adapter: store.Adapter,
  jwks: read('keys.json'),
  cookies: { keys: [readFileSync(`${folder}/cookie_key`, 'utf8')] },
  clients: [
    {
      ...native,
      client_id: 'cta-batch',
      redirect_uris: ['http://127.0.0.1/'],
      grant_types: ['authorization_code', 'refresh_token', DEVICE, EXCHANGE],
    },
    {
      ...native,
      client_id: 'diracx',
      redirect_uris: [
        'http://127.0.0.1/api/auth/device/complete',
        'http://127.0.0.1/api/auth/authorize/complete',
      ],
      grant_types: ['authorization_code'],
    },
  ],
  scopes: ['openid', 'offline_access', 'profile', 'email', 'wlcg.groups', 'storage.read', 'storage.modify'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username'],
    email: ['email'],
    'wlcg.groups': ['wlcg.groups'],
  },
  conformIdTokenClaims: false,
  findAccount: (ctx, id) => users[id] && {
    accountId: id,
    claims: () => ({
      sub: id,
      name: users[id].name,
      preferred_username: id,
      email: users[id].email,
      ...(users[id].groups && { 'wlcg.groups': users[id].groups }),
    }),
  },
  extraTokenClaims: (ctx, token) => ({ 'wlcg.groups': users[token.accountId]?.groups }),
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => resourceServer(resource),
    },
  },
  rotateRefreshToken: true,
  pkce: { required: () => true },
  ttl: {
    AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? settings.access,
    AuthorizationCode: 60,
    DeviceCode: () => settings.device,
    IdToken: () => settings.access,
    RefreshToken: () => settings.refresh,
    Grant: 86400,
    Interaction: 600,
    Session: 600,
  },
});

provider.registerGrantType(
  EXCHANGE,
  async (ctx, next) => {
    const { subject_token: given, subject_token_type: type, audience, scope } = ctx.oidc.params;
    if (type !== 'urn:ietf:params:oauth:token-type:access_token') {
      throw new errors.InvalidRequest('subject_token_type must be that of an access token');
    }
    const subject = await provider.AccessToken.find(given);
    if (!subject || subject.isExpired) throw new errors.InvalidGrant('subject_token is no good');
    const resource = Object.keys(RESOURCES).find((name) => RESOURCES[name] === audience);
    if (!resource) throw new errors.InvalidTarget('unknown audience');
    const token = new provider.AccessToken({
      accountId: subject.accountId,
      client: ctx.oidc.client,
      grantId: subject.grantId,
      gty: 'token_exchange',
      scope: (scope ?? 'openid').split(' ').filter((name) => SCOPES.split(' ').includes(name)).join(' '),
    });
    token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
    ctx.oidc.entity('AccessToken', token);
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope: token.scope,
    };
    await next();
  },
  ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'scope'],
);

const say = (what, ctx) => console.log(
  `${what} ${ctx.oidc?.params?.grant_type ?? '-'} ${ctx.oidc?.entities?.Account?.accountId ?? '-'}`,
);
provider.on('grant.success', (ctx) => say('granted', ctx));
provider.on('grant.error', (ctx, error) => say(`refused:${error.message}`, ctx));
provider.on('server_error', (ctx, error) => console.error(error));

// Device codes that were told to slow down once.
const slowed = new Set();
provider.use(async (ctx, next) => {
  settings = read('settings.json');
  await next();
  if (ctx.path === '/device/auth' && ctx.body?.device_code) ctx.body.interval = 1;
  const code = ctx.oidc?.params?.device_code;
  if (settings.slow_down && ctx.body?.error === 'authorization_pending' && !slowed.has(code)) {
    slowed.add(code);
    ctx.body = { error: 'slow_down' };
  }
});
const server = provider.listen(Number(port), '127.0.0.1', () => console.log(`serving ${issuer}`));
process.on('SIGTERM', () => {
  store.save();
  server.closeAllConnections();
  process.exit(0);
});
