// The page decides nothing: it shows what the command sends, asks the wallet what the command asks, and gives back what the
// wallet says. What comes back is checked there.
'use strict';

const $ = (id) => document.getElementById(id);
const REJECTED = 4001, UNKNOWN_CHAIN = 4902, BUSY = -32002;
const PAUSE = 250, LOST_AFTER = 8;
const VERBS = { sign: 'Sign in wallet', send: 'Send in wallet' };

// The token leaves the address at once. A page that is loaded again finds it where only this tab and origin look.
const kept = sessionStorage;
const given = location.hash.slice(1);
if (given && given !== kept.getItem('token')) {
  kept.setItem('token', given);
  kept.setItem('tab', Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join(''));
}
history.replaceState(null, '', '/');
const token = kept.getItem('token') || '', tab = kept.getItem('tab') || '';

const wallets = [];
let edition = 0, turn = -1, performed = -1, missed = 0, busy = false, view = { stage: 'idle' };

async function say(path, what, keepalive = false) {
  const answer = await fetch(path, {
    method: 'POST', keepalive, cache: 'no-store', redirect: 'error', credentials: 'omit',
    headers: { 'content-type': 'application/json', 'x-countersign-token': token, 'x-countersign-tab': tab },
    body: JSON.stringify(what),
  });
  const said = answer.status === 403 ? { refused: 'token' } : await answer.json().catch(() => ({ refused: 'unknown' }));
  if (!answer.ok) throw Object.assign(new Error(said.refused), { refused: said.refused });
  return said;
}

function status(text) { if ($('status').textContent !== text) $('status').textContent = text; }
function trouble(text) { $('trouble').textContent = text; }

// Wallets (EIP-6963), and the one of before.
function announce(info, provider) {
  if (!info || !provider || wallets.some((one) => one.info.uuid === info.uuid)) return;
  wallets.push({ info, provider });
  const option = document.createElement('option');
  // A name is a stranger's: plain characters on one line, and not many.
  option.textContent = String(info.name).replace(/[^\x20-\x7e]/g, '\ufffd').slice(0, 60);
  $('wallet').append(option);
  // The one that was chosen before the page was loaded again.
  if (info.rdns && info.rdns === kept.getItem('wallet')) option.selected = true;
  $('wallets').hidden = wallets.length < 2;
  draw();
}
addEventListener('eip6963:announceProvider', (event) => announce(event.detail && event.detail.info, event.detail && event.detail.provider));
dispatchEvent(new Event('eip6963:requestProvider'));
setTimeout(() => {
  if (!wallets.length && window.ethereum) announce({ uuid: 'window', name: 'Wallet of this browser' }, window.ethereum);
}, 500);

const wallet = () => wallets[Math.max($('wallet').selectedIndex, 0)];
const ask = (method, params) => wallet().provider.request(params ? { method, params } : { method });
const same = (a, b) => String(a).toLowerCase() === String(b).toLowerCase();

function told(error) {
  const code = error && error.code;
  if (code === REJECTED) return 'The wallet was not connected. Try again when you want to.';
  if (code === BUSY) return 'The wallet has a request open already: look for its window, answer that, then try again.';
  return `The wallet says: ${String(error && error.message || error).replace(/[^\x20-\x7e]/g, '\ufffd').slice(0, 300)}`;
}

async function connect() {
  const accounts = await ask('eth_requestAccounts');
  if (!Array.isArray(accounts) || !accounts.length) throw new Error('no account is connected');
  return accounts;
}

// The wallet switches chains itself. A chain that it does not know is added by hand: an endpoint from here would be one more
// thing to trust.
async function switchTo(chain) {
  if (Number(await ask('eth_chainId')) === Number(chain)) return;
  try {
    await ask('wallet_switchEthereumChain', [{ chainId: chain }]);
  } catch (error) {
    if (error && error.code === UNKNOWN_CHAIN) {
      throw new Error(`it does not know chain ${Number(chain)}. Add that chain in the wallet by hand, then try again`);
    }
    throw error;
  }
  if (Number(await ask('eth_chainId')) !== Number(chain)) throw new Error(`it is not on chain ${Number(chain)}`);
}

async function go() {
  busy = true;
  kept.setItem('wallet', wallet().info.rdns || '');
  trouble('');
  draw();
  try {
    if (view.stage === 'account') {
      const [account] = await connect();
      await say('/account', { turn: view.turn, account });
    } else if (view.stage === 'consent') {
      const accounts = await connect();
      if (!accounts.some((one) => same(one, view.account))) {
        throw new Error(`it gives ${accounts[0]}, and ${view.account} has to act. Choose that account in the wallet`);
      }
      if (view.chainId) await switchTo(view.chainId);
      const named = Array.from($('decisions').querySelectorAll('input'), (input) => input.value.trim());
      await say('/agree', { turn: view.turn, named });
    }
  } catch (error) {
    if (error && error.refused === 'not-named') trouble('What has to be named is not what was typed.');
    else if (!(error && error.refused)) trouble(told(error));
  }
  busy = false;
  await look();
}

// Asked once: the command hands it out once.
async function perform() {
  busy = true;
  draw();
  const mine = view.turn;
  try {
    const request = await say('/request', { turn: mine });
    let answer;
    try {
      answer = { result: String(await ask(request.method, request.params)) };
    } catch (error) {
      const code = Number.isInteger(error && error.code) ? error.code : undefined;
      answer = { error: { code, message: String(error && error.message || error) } };
    }
    await say('/answer', { turn: mine, ...answer });
  } catch (error) {
    if (error && error.refused === 'not-asked' && view.stage === 'handed') {
      // The page was loaded again: the wallet's answer to what was handed out before cannot reach it any more.
      const message = 'the page was loaded again before the wallet answered';
      await say('/answer', { turn: mine, error: { message } }).catch(() => {});
    } else if (!(error && error.refused)) trouble('The command did not get the answer: look at it.');
  }
  busy = false;
  await look();
}

function draw() {
  const asks = view.stage === 'account' || view.stage === 'consent';
  $('act').hidden = !asks;
  $('no').hidden = view.stage !== 'consent';
  $('go').textContent = view.stage === 'account' ? 'Connect wallet' : VERBS[view.act] || '';
  const open = Array.from($('decisions').querySelectorAll('input')).some((input) => !input.value.trim());
  $('go').disabled = busy || !wallets.length || open;
  $('no').disabled = busy;
  if (asks && !wallets.length) return status('No wallet is in this browser: install one, or open this address where one is.');
  status({
    idle: 'The command is at work …', working: 'The command is at work …',
    account: 'Connect the wallet whose account is to act.',
    consent: `Read this, then agree at the end of the page. ${view.account || ''} acts.`,
    request: 'Look at your wallet, and compare what it shows with this page.',
    handed: busy ? 'Look at your wallet, and compare what it shows with this page.'
      : 'The wallet was asked before this page was loaded again. If it shows no request, run the command again.',
    over: view.said, gone: 'The command ended. Nothing on this page is asked for any more.',
    elsewhere: 'This is open in another tab, which was there first.',
    token: 'This address is not, or no longer, one of a command that runs.',
  }[view.stage]);
}

function decisions() {
  $('question').textContent = view.question || (view.stage === 'account' ? 'Which account acts?' : '');
  $('decisions').replaceChildren(...(view.decisions || []).map((one) => {
    const label = document.createElement('label'), input = document.createElement('input');
    label.textContent = `${one.what} Type ${one.shown} to agree to that:`;
    input.autocomplete = 'off';
    input.spellcheck = false;
    input.addEventListener('input', draw);
    label.append(input);
    return label;
  }));
}

// One at a time, whoever asks: once it is over, nothing is on its way any more.
let looking = null;
function look() {
  looking ??= lookOnce().finally(() => { looking = null; });
  return looking;
}

async function lookOnce() {
  if (view.stage === 'over') return;
  try {
    const now = await say('/view', { edition });
    missed = 0;
    if (now.html !== undefined) {
      // No script of it runs: it is parsed as a document of its own, and the policy allows none.
      const parsed = new DOMParser().parseFromString(now.html, 'text/html');
      $('content').replaceChildren(...parsed.body.childNodes);
      edition = now.edition;
    }
    const next = now.turn !== turn;
    view = now;
    if (next) {
      turn = now.turn;
      trouble('');
      decisions();
    }
    document.body.classList.remove('gone');
    if (now.stage === 'over') await say('/ended', { turn }).catch(() => {});
  } catch (error) {
    missed += 1;
    const lost = error && error.refused === 'elsewhere' ? 'elsewhere' : error && error.refused === 'token' ? 'token' : '';
    if (lost || missed >= LOST_AFTER) {
      view = { stage: lost || 'gone' };
      document.body.classList.add('gone');
    }
  }
  draw();
  if ((view.stage === 'request' || view.stage === 'handed') && !busy && performed !== view.turn && wallets.length) {
    performed = view.turn;
    perform();
  }
}

$('go').addEventListener('click', go);
$('no').addEventListener('click', () => say('/decline', { turn: view.turn }).then(look, look));
addEventListener('pagehide', () => { say('/leave', {}, true).catch(() => {}); });

(async () => {
  for (;;) {
    await look();
    if (['over', 'gone', 'elsewhere', 'token'].includes(view.stage)) return;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
})();
