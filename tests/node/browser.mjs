// A person with a wallet in a real Chromium: opens the page that a command serves, and does there what stdin says, one JSON
// object. Prints one JSON object: what the wallet was asked, what the page showed, and what it should not have done.
//
// { url, keys: [owner, …], chain: wallet's chain as hex text, rpc, named: [words for decisions], fault, shots: folder }
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { createWalletClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';

const PATIENCE = 120_000;
const wish = JSON.parse(readFileSync(0, 'utf8'));
const accounts = wish.keys.map((key) => privateKeyToAccount(key));
const origin = new URL(wish.url).origin;
const calls = [], violations = [], elsewhere = [], said = [], sent = [];
let chain = wish.chain ?? '0x7a69';
const failed = (code, message) => ({ error: { code, message } });

async function wallet({ method, params }) {
  calls.push(method);
  const signer = accounts[wish.fault === 'other-key' ? 1 : 0];
  switch (method) {
    case 'eth_requestAccounts':
      return { result: [accounts[wish.fault === 'other-account' ? 1 : 0].address] };
    case 'eth_chainId':
      return { result: chain };
    case 'wallet_switchEthereumChain':
      if (wish.fault === 'unknown-chain') return failed(4902, 'Unrecognized chain ID');
      chain = params[0].chainId;
      return { result: null };
    case 'eth_signTypedData_v4': {
      if (wish.fault === 'refuse') return failed(4001, 'User rejected the request.');
      if (wish.fault === 'busy') return failed(-32002, 'Request already pending');
      if (wish.fault === 'silent') return new Promise(() => {});
      const document = JSON.parse(params[1]);
      const { EIP712Domain, ...types } = document.types;
      if (Number(document.domain.chainId) !== Number(chain)) return failed(-32603, 'another chain');
      if (wish.fault === 'other-nonce') document.message.nonce = String(Number(document.message.nonce) + 1);
      if (wish.fault === 'personal') return { result: await signer.signMessage({ message: { raw: wish.digest } }) };
      return { result: await signer.signTypedData({ ...document, types }) };
    }
    case 'eth_sendTransaction': {
      if (wish.fault === 'refuse') return failed(4001, 'User rejected the request.');
      if (wish.fault === 'silent') return new Promise(() => {});
      const [{ to, data, value, nonce, gas }] = params;
      sent.push(params[0]);
      const client = createWalletClient({ account: signer, transport: http(wish.rpc) });
      const other = wish.fault === 'other-data' ? `${data}00` : data;
      const request = { chain: null, to, data: other, value: BigInt(value ?? 0), nonce: Number(nonce), gas: gas && BigInt(gas) };
      if (wish.fault === 'never-sent') return { result: `0x${'5e'.repeat(32)}` };
      const hash = await client.sendTransaction(request);
      return wish.fault === 'answer-lost' ? new Promise(() => {}) : { result: hash };
    }
    default:
      return failed(4200, `unsupported ${method}`);
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/lib/chromium/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' });
context.setDefaultTimeout(PATIENCE);
await context.exposeBinding('__wallet', (_, request) => wallet(request));
await context.exposeBinding('__violation', (_, text) => { violations.push(text); });
await context.addInitScript(({ names }) => {
  addEventListener('securitypolicyviolation', (event) => window.__violation(`${event.violatedDirective} ${event.blockedURI}`));
  for (const name of names) {
    const provider = {
      async request(request) {
        const answer = await window.__wallet(request);
        if (answer.error) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
        return answer.result;
      },
      on() {},
      removeListener() {},
    };
    const info = Object.freeze({ uuid: `wallet-${Math.random()}`, name, icon: 'data:,', rdns: `test.${names.indexOf(name)}` });
    const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }));
    addEventListener('eip6963:requestProvider', announce);
    announce();
  }
}, { names: wish.fault === 'two-wallets' ? ['First', 'Second \u202e<b>'] : ['Test Wallet'] });

async function open() {
  const page = await context.newPage();
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) elsewhere.push(request.url());
  });
  await page.goto(wish.url);
  return page;
}

const shown = (page) => page.evaluate(() => ({
  status: document.getElementById('status').textContent,
  trouble: document.getElementById('trouble').textContent,
  verdict: document.querySelector('.verdict')?.textContent ?? null,
  headings: Array.from(document.querySelectorAll('h2'), (one) => one.textContent),
  text: document.getElementById('content').textContent,
  wallets: Array.from(document.querySelectorAll('#wallet option'), (one) => one.textContent),
  foreign: document.querySelectorAll('main script, main img, main iframe, main a, main b, main svg').length,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  at: location.href,
}));
const button = (page, name) => page.getByRole('button', { name, exact: true });
const settled = (page) => page.waitForFunction(() => !['The command is at work …', 'Waiting for the command …']
  .includes(document.getElementById('status').textContent) && document.getElementById('act').hidden
  && !/^(Look at|Connect|Read this)/.test(document.getElementById('status').textContent));

const page = await open();
const result = {};
const verb = wish.act === 'send' ? 'Send in wallet' : 'Sign in wallet';
if (wish.act === 'look') {
  await page.waitForFunction(() => document.querySelector('.verdict'));
  result.buttons = await page.getByRole('button').count();
} else {
  if (wish.connects) await button(page, 'Connect wallet').click();
  const asked = button(page, verb);
  const over = settled(page).then(() => 'over');
  const first = await Promise.race([asked.waitFor().then(() => 'asked'), over]);
  if (first === 'asked') {
    result.asked = await shown(page);
    result.disabled = await asked.isDisabled();
    if (wish.fault === 'second-tab') {
      const second = await open();
      await second.waitForFunction(() => /another tab/.test(document.getElementById('status').textContent));
      result.second = await shown(second);
      await second.close();
    }
    if (wish.fault === 'reload-before') {
      await page.reload();
      await asked.waitFor();
    }
    if (wish.fault === 'back-before') {
      await page.goto('about:blank');
      await page.goBack();
      await asked.waitFor();
    }
    for (const [at, word] of (wish.named ?? []).entries()) await page.locator('#decisions input').nth(at).fill(word);
    for (const width of wish.shots ? [320, 1280] : []) {
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 900 });
        result[`wide${width}`] = (await shown(page)).wide;
        await page.screenshot({ path: `${wish.shots}/${wish.shot}-${width}-${colorScheme}.png` });
      }
    }
    if (wish.fault === 'decline') await button(page, 'Decline').click();
    else if (wish.fault === 'close') await page.close();
    else await asked.click();
    if (wish.fault === 'other-account' || wish.fault === 'unknown-chain') {
      await page.waitForFunction(() => document.getElementById('trouble').textContent);
      result.trouble = (await shown(page)).trouble;
      await button(page, 'Decline').click();
    }
    const requested = () => calls.some((one) => one.startsWith('eth_sign') || one.startsWith('eth_send'));
    if (wish.fault === 'silent' || wish.fault === 'answer-lost') {
      while (!requested()) await new Promise((done) => setTimeout(done, 20));
      if (wish.fault === 'answer-lost') while (!sent.length) await new Promise((done) => setTimeout(done, 20));
      await page.close();
    }
  }
  if (!page.isClosed()) {
    await over;
    result.ended = await shown(page);
  }
}
result.shown = page.isClosed() ? null : await shown(page);
await browser.close();
console.log(JSON.stringify({ ...result, calls, sent, violations, elsewhere, said }));
